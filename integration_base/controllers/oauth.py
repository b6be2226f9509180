import secrets
import time

from werkzeug.exceptions import Forbidden, NotFound

from odoo import http
from odoo.exceptions import AccessError, UserError
from odoo.http import request
from odoo.tools.misc import consteq

from ..lib.errors import IntegrationError

SESSION_KEY = "integration_oauth"


class IntegrationOauth(http.Controller):
    """The two steps of the authorization code grant, both in the browser of a manager."""

    @http.route(
        "/integration/oauth/connect/<int:backend_id>", type="http", auth="user", methods=["GET"]
    )
    def connect(self, backend_id):
        """Send the manager to the service's page, with a state that only this session knows."""
        backend = self._backend(backend_id)
        state, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(48)
        try:
            backend._ensure_callable()
            pending, url = request.env["integration.auth"]._begin_consent(backend, state, verifier)
        except IntegrationError as error:
            return self._explain(backend, error.message)
        request.session[SESSION_KEY] = pending
        return request.redirect(url, local=False)

    @http.route("/integration/oauth/callback", type="http", auth="user", methods=["GET"])
    def callback(self, **parameters):
        """Take the code that the service sends back, exchange it, and test the connection.

        The state is good once, for ten minutes, for the user and in the session that asked.
        """
        pending = request.session.get(SESSION_KEY) or {}
        state = parameters.get("state") or ""
        # bytes, because texts that are not ASCII cannot be compared
        known = pending and consteq(pending["state"].encode(), state.encode())
        if known:
            del request.session[SESSION_KEY]
        if not known or pending["until"] < time.time() or pending["user_id"] != request.env.uid:
            raise Forbidden(
                request.env._(
                    "This answer was not asked for, came twice or came too late. Open the backend "
                    "and press Connect again."
                )
            )
        backend = self._backend(pending["backend_id"])
        try:
            backend._ensure_callable()
            request.env["integration.auth"]._complete_consent(backend, parameters, pending)
        except IntegrationError as error:
            return self._explain(backend, error.message)
        try:
            backend.action_test_connection()
        except UserError as error:
            return self._explain(backend, str(error))
        return request.redirect(f"/odoo/integration.backend/{backend.id}")

    def _backend(self, backend_id):
        """Return a backend that is connected this way, and that the user may configure."""
        backend = request.env["integration.backend"].browse(backend_id).exists()
        if not backend:
            raise NotFound
        try:
            backend.check_access("write")
        except AccessError as error:
            raise NotFound from error
        backend = backend.with_company(backend.company_id)
        if not backend.needs_consent:
            raise NotFound
        return backend

    def _explain(self, backend, message):
        return request.render(
            "integration_base.oauth_failed", {"backend": backend, "message": message}
        )
