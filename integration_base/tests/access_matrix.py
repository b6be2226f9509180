"""Who may do what: the one table that test_access_matrix.py compares with the database.

Another addon with models of its own has the same file in its own ``tests``: ``MATRIX``, and where
needed ``FACTORIES`` and ``NO_COMPANY``.
"""

#: Rights of each role on each model: r(ead), w(rite), c(reate), d(elete), - none. Nobody without
#: one of these roles has any right.
MATRIX = """
model                             user  operator  auditor  manager
integration.agreement             -     -         r        r
integration.backend               r     r         r        rwcd
integration.backfill              r     r         r        rwcd
integration.binding               r     rwcd      r        rwcd
integration.breaker               r     r         r        r
integration.credential            -     -         r        rw
integration.discrepancy           -     r         r        r
integration.discrepancy.ignore    -     rwcd      -        rwcd
integration.edit.payload          -     rwcd      -        rwcd
integration.exchange              -     r         r        r
integration.field.mapping         r     r         r        rwcd
integration.flow                  r     r         r        rw
integration.import.now            -     rwcd      -        rwcd
integration.incident              -     r         r        r
integration.intent                -     r         r        r
integration.key.rotation          -     -         -        rwcd
integration.mapping               r     rwcd      r        rwcd
integration.mapping.import        -     rwcd      -        rwcd
integration.privacy.lookup        -     -         -        rwcd
integration.privacy.request       -     -         -        r
integration.rate.bucket           r     r         r        r
integration.reconciliation        -     r         r        r
integration.scope                 -     r         r        r
integration.set.aside             -     rwcd      -        rwcd
integration.staged.payload        -     r         r        r
integration.switch.environment    -     -         -        rwcd
integration.sync.attempt          -     r         r        r
integration.sync.edit             -     r         r        r
integration.sync.log              r     r         r        r
integration.webhook.event         -     r         r        r
integration.webhook.replay        -     rwcd      -        rwcd
integration.webhook.subscription  r     r         r        r
"""

#: ``{model: reason}`` of the models whose rows belong to no company.
NO_COMPANY = {}


def _about_partner(env, company, make):
    partner = env["res.partner"].create({"name": "Linked", "company_id": company.id})
    return {"res_model": partner._name, "res_id": partner.id}


def _operation(env, company, make):
    # plain users see what became of the records they may read
    about = _about_partner(env, company, make)
    return {**about, "state": "dead", "payload": '{"id": "1"}'}


def _field_mapping(env, company, make):
    backend = make("integration.backend", company)
    field = env["ir.model.fields"]._get("res.partner", "comment")
    return {
        "backend_id": backend.id,
        "connector": backend.connector,
        "resource": "contact",
        "field_id": field.id,
    }


def _mapping(env, company, make):
    return {"kind": "currency"}


#: ``{model: function}`` for what cannot be guessed. The function gets the environment, the company
#: and ``make(model, company)``, which returns a record of another model, and returns values.
FACTORIES = {
    "integration.backend": lambda env, company, make: {"connector": "fake", "state": "active"},
    "integration.binding": _about_partner,
    "integration.edit.payload": lambda env, company, make: {"payload": "{}"},
    "integration.field.mapping": _field_mapping,
    "integration.flow": lambda env, company, make: {"resource": "contact", "direction": "out"},
    "integration.mapping": _mapping,
    "integration.sync.log": _operation,
}

#: ``{url: (reason, test)}`` of the routes that need no login or no CSRF token. The test shows that
#: a forged call is refused.
OPEN_ROUTES = {
    "/integration/webhook/<string:token>": (
        "The caller is a service; the signature over the raw body says who it is.",
        "test_webhook.TestWebhook.test_strange_signatures_are_refused",
    ),
}
