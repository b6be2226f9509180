import logging
from collections import Counter

from psycopg2.extensions import ISOLATION_LEVEL_READ_COMMITTED
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge

from odoo import SUPERUSER_ID, api
from odoo.http import Controller, HttpDispatcher, request, route
from odoo.sql_db import Cursor

from ..lib.throttle import Throttle, network_of

_logger = logging.getLogger(__name__)

#: Bytes; the largest notification we read. Notifications are pointers, megabytes are an attack.
MAX_BODY = 5 * 1024 * 1024
#: Refusals of one sender at one address, in each process: some at once, then one in two seconds.
#: A service whose secret was changed gets through again as soon as the new one is typed in.
REFUSALS = Throttle(burst=30, per_second=0.5)
#: Seconds that a sender is asked to wait once it has used them up.
RETRY_AFTER = 60
#: Refusals of a backend that each process writes down: some at once, then one a second. What comes
#: beyond, in a flood from many senders, waits in memory and is added to the next one.
COUNTED = Throttle(burst=60, per_second=1)
UNCOUNTED = Counter()


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
    # all methods: a page of Odoo for the other ones would be the only answer with a text
    @route(
        "/integration/webhook/<string:token>",
        type=RawBodyDispatcher.routing_type,
        auth="none",
        csrf=False,
        save_session=False,
        readonly=False,
        max_content_length=MAX_BODY,
    )
    def receive(self, token):
        """Store an authentic notification and answer at once; jobs do the work.

        200: stored, now or before. 400: the body did not arrive wholly. 401: not authentic (nothing
        says which part was wrong, or whether the address exists). 405: no POST. 413: larger than
        we read. 429: refused too often lately. 503: we cannot check it at present. The body is
        always empty.
        """
        sender = (token, network_of(request.httprequest.remote_addr))
        if request.httprequest.method != "POST":
            return request.make_response("", [("Allow", "POST")], status=405)
        if REFUSALS.is_empty(sender):
            # before anything is read, written or computed
            return request.make_response("", [("Retry-After", str(RETRY_AFTER))], status=429)
        status, refusal = self._take(token)
        response = request.make_response("", status=status)
        if status != 200:
            REFUSALS.take(sender)
        if refusal:
            self._count(refusal, response)
        return response

    def _take(self, token):
        """Read the body and judge it; returns the status and what there is to count."""
        cr = request.env.cr
        if _is_real(cr):
            # Of two deliveries at the same time, the second waits for the first and finds its
            # row. In Odoo's usual level it would fail, and the worker sleep before it tries again.
            cr.rollback()
            cr.connection.set_isolation_level(ISOLATION_LEVEL_READ_COMMITTED)
        try:
            body = request.httprequest.get_data(cache=True)
        except RequestEntityTooLarge:
            body = None
        except ClientDisconnected:
            return 400, None
        if body and len(body) >= MAX_BODY:
            # one that did not say how long it is was cut off there
            body = None
        # superuser: nobody is logged in; access is granted by token and signature
        env = request.env(user=SUPERUSER_ID, su=True)
        return env["integration.webhook.event"]._answer(
            token, request.httprequest.headers, body, request.httprequest.remote_addr
        )

    def _count(self, refusal, response):
        """Count a refusal, once the sender has its answer.

        Before, it would take longer at an address that exists than at one that does not.
        """
        registry = request.env.registry
        counter = (registry.db_name, refusal.backend_id)

        def count():
            UNCOUNTED[counter] += 1
            times = COUNTED.take(counter) and UNCOUNTED.pop(counter, 0)
            if not times:
                return
            try:
                with registry.cursor() as cr:
                    if _is_real(cr):
                        cr.connection.set_isolation_level(ISOLATION_LEVEL_READ_COMMITTED)
                    # superuser: nobody is logged in
                    env = api.Environment(cr, SUPERUSER_ID, {})
                    env["integration.webhook.event"]._count_refused(refusal, times)
            except Exception:
                _logger.exception("Counting a refused notification of %s", counter)

        if _is_real(request.env.cr):
            response.call_on_close(count)
        else:
            count()


def _is_real(cr):
    """Whether ``cr`` has a connection of its own; in Odoo's tests all cursors share one."""
    return isinstance(cr, Cursor)
