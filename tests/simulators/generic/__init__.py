"""A stateful service of no particular kind, for tests of the engine.

``python -m tests.simulators.generic --port 8091`` serves contacts, products, prices and payments
over HTTP from memory, sends signed notifications, and misbehaves on request. It is the ground
truth: it keeps every write it has applied. README.md beside this file is the reference.
"""
