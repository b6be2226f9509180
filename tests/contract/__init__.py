"""Every GraphQL request of a test run is judged by every version of Shopify's schema we know."""
