from odoo import api, fields, models
from odoo.tools import SQL

from ..lib import bulk
from .integration_shopify_bulk import PAGE_BYTES, PAGE_ROOTS


class IntegrationShopifyBulkLine(models.Model):
    """An object of the result of a bulk query, until it was put together with what belongs to it.

    Children stand anywhere in the file, so all of it has to be there first. Written and read by
    SQL alone.
    """

    _name = "integration.shopify.bulk.line"
    _description = "Line of a Shopify Bulk Result"
    _log_access = False
    _rec_name = "gid"

    bulk_id = fields.Many2one(
        "integration.shopify.bulk", required=True, readonly=True, ondelete="cascade"
    )
    company_id = fields.Many2one("res.company", required=True, readonly=True)
    number = fields.Integer(required=True, readonly=True, aggregator=None)
    gid = fields.Char(required=True, readonly=True)
    parent = fields.Char(required=True, readonly=True)
    text = fields.Text(required=True, readonly=True, prefetch=False)

    _root_index = models.Index("(bulk_id, number) WHERE parent = ''")
    _parent_index = models.Index("(bulk_id, parent)")

    @api.model
    def _store(self, operation, number, rows):
        """Store lines by one statement.

        :param int number: of the first of them.
        :param list[Line] rows: see ``lib/bulk.py``.
        """
        if not rows:
            return
        self.env.cr.execute(
            SQL(
                """
                INSERT INTO integration_shopify_bulk_line
                       (bulk_id, company_id, number, gid, parent, text)
                SELECT %s, %s, %s + v.ord - 1, v.gid, v.parent, v.text
                  FROM unnest(%s::text[], %s::text[], %s::text[]) WITH ORDINALITY
                       AS v(gid, parent, text, ord)
                """,
                operation.id,
                operation.backend_id.company_id.id,
                number,
                [row.gid for row in rows],
                [row.parent for row in rows],
                [row.text for row in rows],
            )
        )

    @api.model
    def _count_anew(self):
        """Tell the planner of the lines that were just stored.

        Between two loads the table is empty, and PostgreSQL notes that: whoever joins the lines
        before it has looked again gets a plan for no rows, which takes minutes a page.
        """
        self.env.cr.execute("ANALYZE integration_shopify_bulk_line")

    @api.model
    def _objects(self, operation, after, connections):
        """Return the next objects with all that belongs to them.

        :param int after: number of the line of the last object before.
        :param dict connections: as for :func:`~..lib.bulk.attach`.
        :returns: ``(objects, number of the last one's line, lines they are made of)``; a page of
            them is small enough for a worker's memory, but has at least one.
        """
        roots = self._roots(operation, after)
        if not roots:
            return [], after, 0
        cr = self.env.cr
        cr.execute(
            SQL(
                "SELECT text FROM integration_shopify_bulk_line"
                " WHERE bulk_id = %s AND number = ANY(%s) AND parent = '' ORDER BY number",
                operation.id,
                roots,
            )
        )
        objects = [bulk.parse(text) for (text,) in cr.fetchall()]
        level, count = objects, len(objects)
        while level:
            cr.execute(
                SQL(
                    "SELECT text FROM integration_shopify_bulk_line"
                    " WHERE bulk_id = %s AND parent = ANY(%s) ORDER BY number",
                    operation.id,
                    sorted(set(bulk.ids_within(level))),
                )
            )
            children = [bulk.parse(text) for (text,) in cr.fetchall()]
            lost = bulk.attach(level, children, connections)
            count += len(children) - len(lost)
            level = children
        return objects, roots[-1], count

    def _roots(self, operation, after):
        """Return the line numbers of the next objects: as many as make a page."""
        self.env.cr.execute(
            SQL(
                """
                WITH roots AS (
                    SELECT number, gid, octet_length(text) AS size
                      FROM integration_shopify_bulk_line
                     WHERE bulk_id = %(bulk)s AND parent = '' AND number > %(after)s
                     ORDER BY number LIMIT %(most)s
                ), children AS (
                    SELECT r.number, c.gid, octet_length(c.text) AS size
                      FROM roots r JOIN integration_shopify_bulk_line c
                        ON c.bulk_id = %(bulk)s AND c.parent = r.gid AND r.gid <> ''
                ), sizes AS (
                    SELECT number, size FROM roots
                     UNION ALL SELECT number, size FROM children
                     UNION ALL
                    SELECT c.number, octet_length(g.text)
                      FROM children c JOIN integration_shopify_bulk_line g
                        ON g.bulk_id = %(bulk)s AND g.parent = c.gid AND c.gid <> ''
                )
                SELECT number, sum(sum(size)) OVER (ORDER BY number) FROM sizes
                 GROUP BY number ORDER BY number
                """,
                bulk=operation.id,
                after=after,
                most=PAGE_ROOTS,
            )
        )
        rows = self.env.cr.fetchall()
        return [number for number, size in rows if size <= PAGE_BYTES] or [
            number for number, _size in rows[:1]
        ]
