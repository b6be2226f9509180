import json

from odoo import api, fields, models
from odoo.exceptions import UserError

from ..lib.errors import IntegrationError, InvalidPayloadError
from ..lib.json_strict import loads_strict
from ..lib.text_diff import changed_lines, pretty_json


class IntegrationEditPayload(models.TransientModel):
    """Corrects the data of one failed record by hand and tries again with that."""

    _name = "integration.edit.payload"
    _description = "Edit Data and Retry"

    operation_id = fields.Many2one("integration.sync.log", required=True, readonly=True)
    message = fields.Text(related="operation_id.message", related_sudo=False)
    payload = fields.Text(string="Data", required=True)
    reason = fields.Text()

    @api.model
    def _action_ask(self, operation):
        """Return the action that opens the data of ``operation``.

        :raises UserError: when its data cannot be edited.
        """
        original = operation.payload
        if operation.state != "dead" or operation.direction != "in" or not original:
            raise UserError(
                self.env._("Only data received for a failed record can be edited and tried again.")
            )
        try:
            loads_strict(original)
        except InvalidPayloadError as error:
            raise UserError(
                self.env._("What the service sent is not JSON and cannot be edited here.")
            ) from error
        text = pretty_json(operation.edited_payload or original)
        wizard = self.create([{"operation_id": operation.id, "payload": text}])
        action = self.env["ir.actions.act_window"]._for_xml_id(
            "integration_base.integration_edit_payload_action"
        )
        return {**action, "res_id": wizard.id}

    def action_retry(self):
        """Check the data, keep it with the reason, and try the operation with it at once."""
        self.ensure_one()
        operation = self.operation_id
        operation._check_review_access()
        if operation.state != "dead":
            raise UserError(self.env._("The operation was tried by somebody else meanwhile."))
        if not (self.reason or "").strip():
            raise UserError(self.env._("Say why the data may differ from what the service sent."))
        # sudo: operators hold no write access to the log, reviewing is what they may do
        operation = operation.sudo()
        self._check(operation)
        text, reason, uid = self.payload, self.reason.strip(), self.env.uid
        # the run has to see it, and the request's transaction is committed too late for that
        with self.env.registry.cursor() as cr:
            # sudo: the same
            env = api.Environment(cr, uid, {}, su=True)
            env[operation._name].browse(operation.id)._edit_payload(text, reason)
        self.env.invalidate_all()
        return operation._run_in_foreground()

    def _check(self, operation):
        """Refuse data that is not what the resource's contract asks for, or of another record.

        :raises UserError: with the path of every bad field.
        """
        try:
            before = loads_strict(operation.payload)
            after = loads_strict(self.payload, what=self.env._("The edited data"))
        except InvalidPayloadError as error:
            where, reason = error.problems[0]
            raise UserError(
                self.env._(
                    "The data is not valid JSON: %(reason)s (%(where)s).",
                    reason=reason,
                    where=where,
                )
            ) from error
        if type(before) is not type(after) or self._identity(before) != self._identity(after):
            raise UserError(
                self.env._(
                    "The id says which record it is and has to stay. To import another record, "
                    "use Import One Record on the backend."
                )
            )
        if not changed_lines(operation.edited_payload or operation.payload, self.payload):
            raise UserError(self.env._("Nothing was changed. To try the same again, press Retry."))
        flow = operation.flow_id
        label = operation.label or operation.external_id
        try:
            flow._resource()._validate(flow.backend_id, after, label)
        except InvalidPayloadError as error:
            problems = "\n".join(f"{path}: {text}" for path, text in error.problems)
            raise UserError(
                self.env._(
                    "These fields are still not as agreed with the service:\n%s",
                    problems or error.message,
                )
            ) from error
        except IntegrationError as error:
            raise UserError(error.message) from error

    def _identity(self, value):
        return json.dumps(value.get("id")) if isinstance(value, dict) else None
