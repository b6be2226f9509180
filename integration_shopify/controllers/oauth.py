import secrets
import time

from werkzeug.exceptions import Forbidden, NotFound

from odoo import http
from odoo.exceptions import AccessError, UserError
from odoo.http import request
from odoo.tools.misc import consteq
from odoo.tools.urls import urljoin

from odoo.addons.integration_base.lib.errors import IntegrationError

from ..lib import oauth

#: Seconds between "Connect with Shopify" and the return from Shopify's page.
STATE_LIFETIME = 600
SESSION_KEY = "integration_shopify_oauth"


class ShopifyOauth(http.Controller):
    """The two steps of the authorization code grant, both in the browser of a manager."""

    @http.route("/integration/shopify/connect/<int:backend_id>", type="http", auth="user")
    def connect(self, backend_id):
        """Send the manager to the shop's consent page, with a state only this session knows."""
        backend = self._backend(backend_id)
        state = secrets.token_urlsafe(32)
        request.session[SESSION_KEY] = {
            "state": state,
            "backend_id": backend.id,
            "until": time.time() + STATE_LIFETIME,
        }
        try:
            url = oauth.authorize_url(
                backend._connector()._base_url(backend),
                backend._credential("client_id"),
                self._redirect_uri(backend),
                state,
            )
        except IntegrationError as error:
            return self._explain(backend, error.message)
        return request.redirect(url, local=False)

    @http.route("/integration/shopify/callback", type="http", auth="user")
    def callback(self, **parameters):
        """Take the code Shopify sends back, exchange it for tokens and test the connection.

        The state is good once, for ten minutes, in the session that asked; the query has to be
        signed with the client secret and name the shop of the backend.
        """
        pending = request.session.pop(SESSION_KEY, None) or {}
        state = parameters.get("state") or ""
        # bytes, because texts that are not ASCII cannot be compared
        known = pending and consteq(pending["state"].encode(), state.encode())
        if not known or pending["until"] < time.time():
            raise Forbidden(
                request.env._(
                    "This answer of Shopify was not asked for, came twice or came too late. Open "
                    "the backend and press Connect with Shopify again."
                )
            )
        backend = self._backend(pending["backend_id"])
        try:
            backend._connector()._complete_oauth(backend, parameters, self._redirect_uri(backend))
        except IntegrationError as error:
            return self._explain(backend, error.message)
        try:
            backend.action_test_connection()
        except UserError as error:
            return self._explain(backend, str(error))
        return request.redirect(f"/odoo/integration.backend/{backend.id}")

    def _backend(self, backend_id):
        backend = request.env["integration.backend"].browse(backend_id).exists()
        if not backend or backend.connector != "shopify":
            raise NotFound
        try:
            backend.check_access("write")
        except AccessError as error:
            raise NotFound from error
        return backend.with_company(backend.company_id)

    def _redirect_uri(self, backend):
        return urljoin(backend.get_base_url(), "/integration/shopify/callback")

    def _explain(self, backend, message):
        return request.render(
            "integration_shopify.oauth_failed", {"backend": backend, "message": message}
        )
