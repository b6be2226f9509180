"""Everything the API serves: importing this declares every field and every mutation."""

from . import fulfilment_api, money_api, mutations, resolvers

__all__ = ["fulfilment_api", "money_api", "mutations", "resolvers"]
