{
    "name": "Shopify Integration",
    "summary": "Orders of your Shopify shops as sales orders, right to the cent",
    "version": "19.0.1.0.0",
    "category": "Integrations",
    "author": "Odoo Integration Founders",
    "website": "https://www.odoo.com/app/integrations",
    "license": "LGPL-3",
    "depends": ["integration_base", "sale_stock", "stock_delivery"],
    "data": [
        "security/ir.model.access.csv",
        "security/integration_shopify_rules.xml",
        "data/product_product_data.xml",
        "data/integration.field.mapping.csv",
        "views/integration_backend_views.xml",
        "views/sale_order_views.xml",
        "views/integration_shopify_refund_views.xml",
    ],
}
