from odoo.http import Controller, request, route


class Empty(Controller):
    # csrf=False: the same as the route for notifications, which this one is compared with
    @route(
        "/integration_generic/empty",
        type="http",
        auth="none",
        methods=["POST"],
        csrf=False,
        save_session=False,
    )
    def empty(self, **kwargs):
        """Answer 200: what one request of this server costs by itself."""
        return request.make_response("", status=200)
