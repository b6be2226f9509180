"""Everything the API serves: importing this declares every field and every mutation."""

from . import (
    bulk_api,
    business_api,
    customer_api,
    fulfilment_api,
    inventory_api,
    market_api,
    money_api,
    mutations,
    product_api,
    product_mutations,
    resolvers,
    return_api,
)

__all__ = [
    "bulk_api",
    "business_api",
    "customer_api",
    "fulfilment_api",
    "inventory_api",
    "market_api",
    "money_api",
    "mutations",
    "product_api",
    "product_mutations",
    "resolvers",
    "return_api",
]
