{
    "name": "Generic Integration (tests)",
    "summary": "Connects Odoo with the simulated service of the tests",
    "version": "19.0.1.0.0",
    "category": "Hidden/Tests",
    "author": "Odoo Integration Founders",
    "website": "https://www.odoo.com/app/integrations",
    "license": "LGPL-3",
    "depends": ["integration_base", "product"],
    "data": ["data/queue_job_data.xml"],
}
