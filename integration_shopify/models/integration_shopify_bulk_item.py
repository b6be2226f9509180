import json

from odoo import api, fields, models
from odoo.tools import SQL

from ..lib import bulk
from ..lib.client import document
from .integration_shopify_bulk import GATHER_SECONDS

#: Rows of one INSERT.
ROWS = 500


class IntegrationShopifyBulkItem(models.Model):
    """A record that is sent by a bulk mutation, from gathering to what became of it.

    One row per record and backend at most: while it is there, the operation of the record waits
    for it, or takes its outcome. Rows are written by SQL in transactions of their own.
    """

    _name = "integration.shopify.bulk.item"
    _description = "Record in a Shopify Bulk Operation"
    _order = "id"
    _rec_name = "label"
    _log_access = False

    backend_id = fields.Many2one(
        "integration.backend", required=True, readonly=True, ondelete="cascade"
    )
    company_id = fields.Many2one("res.company", required=True, readonly=True, index=True)
    bulk_id = fields.Many2one(
        "integration.shopify.bulk",
        string="Bulk Operation",
        readonly=True,
        ondelete="cascade",
        index=True,
    )
    resource = fields.Char(required=True, readonly=True)
    res_model = fields.Char(string="Model", required=True, readonly=True)
    res_id = fields.Many2oneReference(
        string="Record", model_field="res_model", required=True, readonly=True
    )
    label = fields.Char(string="Record Name", readonly=True)
    operation_id = fields.Integer(readonly=True, aggregator=None)
    document = fields.Char(required=True, readonly=True)
    digest = fields.Char(required=True, readonly=True)
    variables = fields.Text(readonly=True, prefetch=False)
    number = fields.Integer(string="Line", readonly=True, aggregator=None)
    state = fields.Selection(
        [
            ("waiting", "Gathered"),
            ("sent", "Under Way"),
            ("done", "Carried Out"),
            ("refused", "Refused"),
            ("lost", "Unknown"),
        ],
        required=True,
        readonly=True,
    )
    result = fields.Text(readonly=True, prefetch=False)
    message = fields.Text(readonly=True)
    create_date = fields.Datetime(string="Since", readonly=True)

    _record_unique = models.UniqueIndex("(backend_id, resource, res_model, res_id)")
    _waiting_index = models.Index("(backend_id, id) WHERE state = 'waiting'")
    _number_index = models.Index("(bulk_id, number)")

    # === FOR OPERATIONS === #

    @api.model
    def _known(self, backend, resource, records):
        """Return ``{record id: row}`` of what is known of the records, as dicts."""
        if not records:
            return {}
        self.env.cr.execute(
            SQL(
                "SELECT id, res_id, state, digest, result, message, bulk_id"
                " FROM integration_shopify_bulk_item"
                " WHERE backend_id = %s AND resource = %s AND res_model = %s AND res_id = ANY(%s)",
                backend.id,
                resource,
                records._name,
                records.ids,
            )
        )
        return {row["res_id"]: row for row in self.env.cr.dictfetchall()}

    @api.model
    def _stage(self, backend, resource, document, rows):
        """Gather records for the next bulk mutation; what is under way is left alone.

        :param str document: name of the mutation's document.
        :param list rows: pairs (Item, variables).
        """
        for start in range(0, len(rows), ROWS):
            values = SQL(", ").join(
                SQL(
                    "(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, 'waiting',"
                    " clock_timestamp() AT TIME ZONE 'UTC')",
                    backend.id,
                    backend.company_id.id,
                    resource,
                    item.record._name,
                    item.record.id,
                    item.label,
                    item.operation_id,
                    document,
                    item.digest,
                    bulk.variables_line(variables),
                )
                for item, variables in rows[start : start + ROWS]
            )
            self.env.cr.execute(
                SQL(
                    """
                    INSERT INTO integration_shopify_bulk_item AS i
                           (backend_id, company_id, resource, res_model, res_id, label,
                            operation_id, document, digest, variables, state, create_date)
                    VALUES %s
                        ON CONFLICT (backend_id, resource, res_model, res_id) DO UPDATE
                       SET label = EXCLUDED.label, operation_id = EXCLUDED.operation_id,
                           document = EXCLUDED.document, digest = EXCLUDED.digest,
                           variables = EXCLUDED.variables, state = 'waiting', bulk_id = NULL,
                           number = NULL, result = NULL, message = NULL,
                           create_date = EXCLUDED.create_date
                     WHERE i.state <> 'sent'
                    """,
                    values,
                )
            )

    @api.model
    def _forget(self, backend, resource, records):
        """Delete what is known of records whose outcome was taken."""
        self.env.cr.execute(
            SQL(
                "DELETE FROM integration_shopify_bulk_item WHERE backend_id = %s AND resource = %s"
                " AND res_model = %s AND res_id = ANY(%s) AND state <> 'sent'",
                backend.id,
                resource,
                records._name,
                records.ids,
            )
        )

    # === FOR BULK OPERATIONS === #

    @api.model
    def _gather(self, backend):
        """Make bulk operations of what was gathered long enough, or is enough for a file."""
        self.env.cr.execute(
            SQL(
                """
                SELECT resource, document FROM integration_shopify_bulk_item
                 WHERE backend_id = %s AND state = 'waiting'
                 GROUP BY resource, document
                HAVING count(*) >= %s OR sum(octet_length(variables)) >= %s
                    OR min(create_date) < clock_timestamp() AT TIME ZONE 'UTC'
                                          - %s * interval '1 second'
                """,
                backend.id,
                bulk.MAX_FILE_LINES,
                bulk.MAX_FILE,
                GATHER_SECONDS,
            )
        )
        Bulk = self.env["integration.shopify.bulk"]
        for resource, name in self.env.cr.fetchall():
            title = backend._resource(resource)._resource_name
            operation = Bulk._new(backend, resource, "mutation", title, document(name))
            self.env.cr.execute(
                SQL(
                    """
                    UPDATE integration_shopify_bulk_item i
                       SET bulk_id = %s, number = v.number, state = 'sent'
                      FROM (SELECT id, row_number() OVER w - 1 AS number,
                                   sum(octet_length(variables) + 1) OVER w AS size
                              FROM integration_shopify_bulk_item
                             WHERE backend_id = %s AND state = 'waiting' AND resource = %s
                               AND document = %s
                            WINDOW w AS (ORDER BY id)) v
                     WHERE i.id = v.id AND v.number < %s AND (v.size <= %s OR v.number = 0)
                    """,
                    operation.id,
                    backend.id,
                    resource,
                    name,
                    bulk.MAX_FILE_LINES,
                    bulk.MAX_FILE,
                )
            )

    @api.model
    def _file(self, operation):
        """Return the file of variables of a bulk mutation."""
        self.env.cr.execute(
            SQL(
                "SELECT variables FROM integration_shopify_bulk_item WHERE bulk_id = %s"
                " ORDER BY number",
                operation.id,
            )
        )
        return "\n".join(text for (text,) in self.env.cr.fetchall()).encode()

    @api.model
    def _settle(self, operation, results):
        """Store what became of lines; a line that is answered twice keeps its first answer.

        :param list[Result] results: see ``lib/bulk.py``.
        """
        if not results:
            return
        action = self.env._("carry out a line of %s", operation.name)
        rows = []
        for result in results:
            error = result.error(action)
            rows.append(
                SQL(
                    "(%s, %s, %s, %s)",
                    result.number,
                    "refused" if error else "done",
                    json.dumps(result.payload),
                    error and self.env["integration.engine"]._storable(error.message),
                )
            )
        for start in range(0, len(rows), ROWS):
            self.env.cr.execute(
                SQL(
                    """
                    UPDATE integration_shopify_bulk_item i
                       SET state = v.state, result = v.result, message = v.message
                      FROM (VALUES %s) AS v(number, state, result, message)
                     WHERE i.bulk_id = %s AND i.number = v.number AND i.state = 'sent'
                    """,
                    SQL(", ").join(rows[start : start + ROWS]),
                    operation.id,
                )
            )

    @api.model
    def _refuse_all(self, operation, message):
        """Note that no line of an operation was run."""
        self.env.cr.execute(
            SQL(
                "UPDATE integration_shopify_bulk_item SET state = 'refused', message = %s"
                " WHERE bulk_id = %s AND state = 'sent'",
                message,
                operation.id,
            )
        )
        operation._wake_waiting()

    @api.model
    def _give_up(self, operation):
        """Note that nobody knows what became of the lines without an answer; returns how many."""
        self.env.cr.execute(
            SQL(
                "UPDATE integration_shopify_bulk_item SET state = 'lost'"
                " WHERE bulk_id = %s AND state = 'sent'",
                operation.id,
            )
        )
        return self.env.cr.rowcount

    @api.model
    def _wait_again(self, operation):
        """Gather the lines of a failed operation that were refused with it for the next one."""
        self.env.cr.execute(
            SQL(
                "UPDATE integration_shopify_bulk_item SET state = 'waiting', bulk_id = NULL,"
                " number = NULL, message = NULL, create_date = clock_timestamp() AT TIME ZONE 'UTC'"
                " WHERE bulk_id = %s AND state = 'refused' AND result IS NULL",
                operation.id,
            )
        )
