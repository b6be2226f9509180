"""A stateful Shopify shop for tests and demonstrations.

``python -m tests.simulators.shopify --port 8090`` serves, from memory, the Admin GraphQL API with
its published schema, tokens, webhooks with real signatures, and a control API that plays the rest
of the world. README.md beside this file is the reference.
"""
