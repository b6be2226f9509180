import logging

from werkzeug.exceptions import Unauthorized

from odoo import SUPERUSER_ID
from odoo.http import Controller, request, route

from ..lib.errors import IntegrationError, WebhookRefused

_logger = logging.getLogger(__name__)

#: Bytes; the largest notification we read. Notifications are pointers, megabytes are an attack.
MAX_BODY = 5 * 1024 * 1024


class IntegrationWebhook(Controller):
    """The one address of a backend for all notifications of its service."""

    # csrf=False: the caller is a service; the connector checks its signature over the raw body
    @route(
        "/integration/webhook/<string:token>",
        type="http",
        auth="none",
        methods=["POST"],
        csrf=False,
        save_session=False,
        max_content_length=MAX_BODY,
    )
    def receive(self, token, **kwargs):
        """Store an authentic notification and answer at once; jobs do the work.

        200: stored, now or before. 401: not authentic (nothing says which part was wrong).
        """
        body = request.httprequest.get_data(cache=True)
        # superuser: nobody is logged in; access is granted by token and signature
        env = request.env(user=SUPERUSER_ID, su=True)
        backend = env["integration.backend"].search(
            [("webhook_token", "=", token), ("state", "!=", "draft")], limit=1
        )
        if not backend:
            raise Unauthorized
        backend = backend.with_company(backend.company_id)
        Event = backend.env["integration.webhook.event"]
        try:
            Event._receive(backend, request.httprequest.headers, body)
        except WebhookRefused as error:
            Event._refuse(backend, error, request.httprequest.remote_addr)
            return request.make_response("", status=401)
        except IntegrationError as error:
            # our own setting is wrong (a missing secret, say): the service shall send it again
            _logger.error("Webhook of %s: %s", backend.display_name, error)
            return request.make_response("", status=503)
        return request.make_response("", status=200)
