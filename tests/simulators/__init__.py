"""Stateful stand-ins of the services the connectors talk to."""
