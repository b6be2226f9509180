"""Whether the tests of a module would notice a mistake in it.

Every place of the module where a mistake of one token can be made is changed in turn, and the
module's own tests have to fail. A change they let pass is a rule nobody would miss.
"""
