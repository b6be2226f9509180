from odoo import api, fields, models
from odoo.fields import Domain
from odoo.tools import SQL


class IntegrationReadableMixin(models.AbstractModel):
    """Rows about an Odoo record (``res_model``, ``res_id``), seen by whoever sees that record.

    The record rule of the role Integration User is ``[("is_readable", "=", True)]``, so reading,
    searching, counting, grouping and exporting all follow the access rights and record rules of
    the record itself: a salesperson with nothing but their own orders finds only what became of
    these. A row about no record is for operators.
    """

    _name = "integration.readable.mixin"
    _description = "Row About an Odoo Record"

    is_readable = fields.Boolean(
        string="Record Readable",
        compute="_compute_is_readable",
        search="_search_is_readable",
        export_string_translation=False,
        help="Whether the present user may read the Odoo record.",
    )

    # what is not stored is not known of the record: its owner may have changed
    @api.depends("res_model", "res_id")
    @api.depends_context("uid", "allowed_company_ids")
    def _compute_is_readable(self):
        # sudo: the rule that hides rows asks for this field; whose rights count is in the search
        rows = self.sudo().with_context(active_test=False)
        readable = rows.search([("id", "in", self.ids), ("is_readable", "=", True)])
        for row in self:
            row.is_readable = row.id in readable._ids

    def _search_is_readable(self, operator, value):
        if operator != "in":
            return NotImplemented
        # not of the superuser in whose name rules are applied, but of the user they are for
        own = self.env(su=False)
        # archived records are read like others
        own = own(context={**own.context, "active_test": False})
        return Domain.OR(
            self._about(name, own[name]._search(Domain.TRUE))
            for name in self._models_of_records()
            if name in own and own[name].has_access("read")
        )

    @api.model
    def _about(self, name, records):
        """Return the domain of the rows about one of ``records`` (Query) of the model ``name``."""
        return Domain.custom(
            to_sql=lambda model, alias, query: SQL(
                "(%s = %s AND %s IN %s)",
                model._field_to_sql(alias, "res_model", query),
                name,
                model._field_to_sql(alias, "res_id", query),
                records.subselect(),
            )
        )

    @api.model
    def _models_of_records(self):
        """Return the names of the models that the rows are about.

        One step in the index on ``(res_model, res_id)`` per name, however many rows there are.
        """
        self.flush_model(["res_model", "res_id"])
        self.env.cr.execute(
            SQL(
                """
                WITH RECURSIVE names(name) AS (
                    (SELECT min(res_model) FROM %(table)s WHERE res_id IS NOT NULL)
                    UNION ALL
                    SELECT (SELECT min(res_model) FROM %(table)s
                             WHERE res_id IS NOT NULL AND res_model > names.name)
                      FROM names WHERE names.name IS NOT NULL)
                SELECT name FROM names WHERE name IS NOT NULL
                """,
                table=SQL.identifier(self._table),
            )
        )
        return [name for (name,) in self.env.cr.fetchall()]
