"""Everything the API serves: importing this declares every field and every mutation."""

from . import (
    business_api,
    fulfilment_api,
    money_api,
    mutations,
    product_api,
    product_mutations,
    resolvers,
    return_api,
)

__all__ = [
    "business_api",
    "fulfilment_api",
    "money_api",
    "mutations",
    "product_api",
    "product_mutations",
    "resolvers",
    "return_api",
]
