from odoo import models


class StockMove(models.Model):
    _inherit = "stock.move"

    def _shopify_to_buyer(self):
        """Return those that bring goods to a buyer, each unit once however many steps it takes.

        Where goods are picked before they are delivered, the delivery does not exist until they
        are: so the open move of a step before counts by where its goods go in the end.
        """
        return self.filtered(
            lambda move: (
                move.location_dest_id.usage == "customer"
                or (move.state != "done" and move.location_final_id.usage == "customer")
            )
        )

    def _shopify_has_left(self, shelves):
        """Whether its goods were picked already: they are off the shelf, and on their way out.

        :param shelves: tuple of the ``parent_path`` of locations whose stock is offered.
        """
        self.ensure_one()
        return "done" in self.move_orig_ids.mapped("state") and not (
            self.location_id.parent_path.startswith(shelves)
        )
