"""Everything the API serves: importing this declares every field and every mutation."""

from . import (
    business_api,
    customer_api,
    fulfilment_api,
    money_api,
    mutations,
    resolvers,
    return_api,
)

__all__ = [
    "business_api",
    "customer_api",
    "fulfilment_api",
    "money_api",
    "mutations",
    "resolvers",
    "return_api",
]
