"""What a service has to allow us, compared with what it allows."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

#: In the order in which people have to look at them.
STATES = ("missing", "unknown", "optional", "granted", "superfluous")


@dataclass(frozen=True)
class Scope:
    """A right that has to be granted by the service, and what for.

    :param name: as the service calls it, e.g. ``read_orders``.
    :param reason: what it is needed for, as the end of a sentence: ``read the orders``.
    :param optional: whether the work can be done without it, though not all of it.
    """

    name: str
    reason: str
    optional: bool = False


def covered(granted: Collection[str], implied: Callable[[str], Collection[str]]) -> set[str]:
    """Return the scopes granted, and those that they include.

    :param implied: gives the other scopes that a scope includes.
    """
    return set(granted).union(*(implied(name) for name in granted))


def compare(
    needed: Iterable[Scope],
    granted: Collection[str] | None,
    implied: Callable[[str], Collection[str]],
) -> dict[str, str]:
    """Return ``{scope: state}`` of all scopes that are needed or granted.

    :param needed: one scope several times where it is needed for several things.
    :param granted: None when the service does not tell.
    :param implied: see :func:`covered`.
    :returns: the states are those of :data:`STATES`; ``unknown`` where the service does not tell.
        A scope that is granted and part of another one that is needed is not superfluous.
    """
    needed = list(needed)
    required = {scope.name for scope in needed if not scope.optional}
    wanted = {scope.name for scope in needed}
    if granted is None:
        return dict.fromkeys(wanted, "unknown")
    have = covered(granted, implied)
    useful = covered(wanted & set(granted), implied)
    states = {
        name: "granted" if name in have else "missing" if name in required else "optional"
        for name in wanted
    }
    for name in granted:
        states.setdefault(name, "granted" if name in useful else "superfluous")
    return states
