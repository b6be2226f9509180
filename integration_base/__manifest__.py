{
    "name": "Integration Base",
    "summary": "Keep orders, stock, parcels and money in agreement with the systems around Odoo",
    "version": "19.0.1.0.0",
    "category": "Integrations",
    "author": "Odoo Integration Founders",
    "website": "https://www.odoo.com/app/integrations",
    "license": "LGPL-3",
    "depends": ["mail", "queue_job"],
    "external_dependencies": {"python": ["cryptography", "pydantic", "requests"]},
    "data": [
        "security/integration_base_groups.xml",
        "security/ir.model.access.csv",
        "security/integration_base_rules.xml",
        "data/queue_job_data.xml",
        "data/ir_cron_data.xml",
    ],
    "application": True,
}
