from odoo import api, fields, models

from ..lib.scopes import STATES, compare


class IntegrationScope(models.Model):
    """One right at the service: needed, granted, or both; as it was found at the last check.

    The rows of a backend follow from what its connector declares, from which flows are on, and
    from what the service grants. They are written anew whenever one of these changes.
    """

    _name = "integration.scope"
    _description = "Access Scope"
    _order = "sequence, name"

    backend_id = fields.Many2one(
        "integration.backend", required=True, readonly=True, ondelete="cascade", index=True
    )
    company_id = fields.Many2one(related="backend_id.company_id", store=True, index=True)
    name = fields.Char(string="Scope", required=True, readonly=True)
    sequence = fields.Integer(readonly=True)
    state = fields.Selection(
        [
            ("missing", "Missing"),
            ("unknown", "Unknown"),
            ("optional", "Optional"),
            ("granted", "Granted"),
            ("superfluous", "Not Needed"),
        ],
        string="Status",
        required=True,
        readonly=True,
    )
    reason = fields.Text(string="Needed for", compute="_compute_texts")
    advice = fields.Text(string="What to Do", compute="_compute_texts")

    # === COMPUTE METHODS === #

    @api.depends("name", "state", "backend_id.flow_ids.enabled", "backend_id.granted_scopes")
    def _compute_texts(self):
        for backend, rows in self.grouped("backend_id").items():
            needs = backend._scope_needs()
            idle = backend._scope_needs(enabled=False)
            for row in rows:
                row.reason = (
                    row._say_needed(needs)
                    or row._say_part_of(needs)
                    or row._say_needed(idle)
                    or self.env._("Nothing that this connection does.")
                )
                row.advice = row._say_advice(needs)

    def _say_needed(self, needs):
        """Return who needs the scope and what for, a line each."""
        off = self.env._(", which is off")
        return "\n".join(
            self.env._(
                "%(flow)s: %(reason)s",
                flow=(flow.name + ("" if flow.enabled else off))
                if flow
                else self.env._("Connection"),
                reason=scope.reason,
            )
            for flow, scope in needs
            if scope.name == self.name
        )

    def _say_part_of(self, needs):
        """Return which scope that is needed includes this one, empty if none does."""
        implied = self.backend_id._connector()._implied_scopes
        for _flow, scope in needs:
            if self.name in implied(scope.name):
                return self.env._("Part of %s.", scope.name)
        return ""

    def _say_advice(self, needs):
        """Return what a person can do about the scope, empty when it is all right."""
        connector = self.backend_id._connector()
        if self.state == "missing":
            return connector._scope_advice(self.backend_id)
        if self.state == "unknown":
            return self.env._(
                "Nothing: the service does not tell what it grants. A flow that it refuses stops."
            )
        if self.state == "optional":
            return self.env._("Nothing, unless you need this.")
        if self.state == "granted":
            return ""
        # without it, what it includes would no longer be granted
        included = set(connector._implied_scopes(self.name)) - set(
            self.backend_id._granted_scopes() or ()
        )
        less = sorted({scope.name for _flow, scope in needs if scope.name in included})
        if less:
            return self.env._(
                "More than is needed: replace it by %s in the settings of the app.",
                ", ".join(less),
            )
        return self.env._("Not needed: remove it in the settings of the app.")

    # === CHECKING === #

    @api.model
    def _check(self, backend):
        """Ask the service what it grants, and let the flows go on, or stop, accordingly.

        :raises IntegrationError: when the service does not answer as it should.
        """
        connector = backend._connector()

        def ask():
            return backend._with_renewed_auth(lambda: connector._granted_scopes(backend))

        granted = ask()
        if granted is not None and self._lacks(backend, granted) and connector._renew_auth(backend):
            # a token may know nothing of what was granted since it was issued
            granted = ask()
        # sudo: what the service says, written by whoever asked it
        backend = backend.sudo()
        backend.write(
            {
                "granted_scopes": None if granted is None else sorted(granted),
                "scopes_checked_at": fields.Datetime.now(),
            }
        )
        # what it grants now is asked for again, and what it does not tell has to be tried
        for flow in backend.flow_ids.filtered("refused_scopes"):
            left = [] if granted is None else backend._scopes_lacking(flow.refused_scopes.split())
            flow.refused_scopes = " ".join(left) or False
        self._refresh(backend)

    @api.model
    def _lacks(self, backend, granted):
        needed = [scope for _flow, scope in backend._scope_needs()]
        states = compare(needed, granted, backend._connector()._implied_scopes)
        return "missing" in states.values()

    @api.model
    def _refresh(self, backend):
        """Write the rows of a backend, and stop the flows that lack a scope, without a call."""
        # sudo: all of it follows from what the connector declares and the service said
        backend, Scope = backend.sudo(), self.sudo()
        needed = [scope for _flow, scope in backend._scope_needs()]
        states = compare(needed, backend._granted_scopes(), backend._connector()._implied_scopes)
        grant = backend._auth_grant()
        for name in grant.scopes if grant else ():
            # asked for whatever the flows need, so it is nothing to take away
            if states.get(name) == "superfluous":
                del states[name]
        known = {row.name: row for row in Scope.search([("backend_id", "=", backend.id)])}
        Scope.union(*(row for name, row in known.items() if name not in states)).unlink()
        new = []
        for name, state in states.items():
            values = {"state": state, "sequence": STATES.index(state)}
            if name not in known:
                new.append({"backend_id": backend.id, "name": name, **values})
            elif known[name].state != state:
                known[name].write(values)
        Scope.create(new)
        for flow in backend.flow_ids:
            flow._stop_without_scopes()

    @api.model
    def _forget(self, backend):
        """Forget what another account granted."""
        # sudo: see _refresh
        backend = backend.sudo()
        backend.write({"granted_scopes": None, "scopes_checked_at": False})
        backend.flow_ids.write({"refused_scopes": False})
        self._refresh(backend)
