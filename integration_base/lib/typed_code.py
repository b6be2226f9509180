"""Whether code that people typed into the database is at work: templates, server actions, rules."""

import builtins
import sys


def typed_code() -> tuple[str, ...]:
    """File names of the code on the call stack that runs without Python's own builtins.

    That is how Odoo evaluates what stands in the database: ``ir.actions.server(7,)`` for the code
    of a server action or a scheduled one, an empty text for an expression, ``<...>`` for a
    template. The innermost comes first.
    """
    found = []
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_builtins is not vars(builtins):
            found.append(frame.f_code.co_filename)
        frame = frame.f_back
    return tuple(found)
