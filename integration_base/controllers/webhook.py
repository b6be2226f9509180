from psycopg2.extensions import ISOLATION_LEVEL_READ_COMMITTED
from werkzeug.exceptions import RequestEntityTooLarge

from odoo import SUPERUSER_ID
from odoo.http import Controller, HttpDispatcher, request, route
from odoo.sql_db import Cursor

#: Bytes; the largest notification we read. Notifications are pointers, megabytes are an attack.
MAX_BODY = 5 * 1024 * 1024


class RawBodyDispatcher(HttpDispatcher):
    """Hands the body over unread, whatever its content type says.

    Odoo's own dispatcher takes forms apart before the route is called; a signature is over the
    bytes as they were sent.
    """

    routing_type = "integration_raw"

    def dispatch(self, endpoint, args):
        self.request.params = args
        return self.request.registry["ir.http"]._dispatch(endpoint)


class IntegrationWebhook(Controller):
    """The one address of a backend for all notifications of its service."""

    # csrf=False: the caller is a service; the connector checks its signature over the raw body
    # readonly=False: with auth="none", Odoo would try a read-only replica first, each time
    @route(
        "/integration/webhook/<string:token>",
        type=RawBodyDispatcher.routing_type,
        auth="none",
        methods=["POST"],
        csrf=False,
        save_session=False,
        readonly=False,
        max_content_length=MAX_BODY,
    )
    def receive(self, token):
        """Store an authentic notification and answer at once; jobs do the work.

        200: stored, now or before. 401: not authentic (nothing says which part was wrong). 413:
        larger than we read. 503: we cannot check it at present. The body is always empty.
        """
        cr = request.env.cr
        # within Odoo's tests all cursors share one transaction and have no level of their own
        if isinstance(cr, Cursor):
            # Of two deliveries at the same time, the second waits for the first and finds its
            # row. In Odoo's usual level it would fail, and the worker sleep before it tries again.
            cr.rollback()
            cr.connection.set_isolation_level(ISOLATION_LEVEL_READ_COMMITTED)
        try:
            body = request.httprequest.get_data(cache=True)
        except RequestEntityTooLarge:
            body = None
        if body and len(body) >= MAX_BODY:
            # one that did not say how long it is was cut off there
            body = None
        # superuser: nobody is logged in; access is granted by token and signature
        env = request.env(user=SUPERUSER_ID, su=True)
        status = env["integration.webhook.event"]._answer(
            token, request.httprequest.headers, body, request.httprequest.remote_addr
        )
        return request.make_response("", status=status)
