from lxml import etree

from odoo.exceptions import AccessError
from odoo.tests import tagged
from odoo.tests.common import new_test_user

from .common import ShopifyCase, line, order

SALES = "sales_team.group_sale_salesman"
USER = "integration_base.group_integration_user"


@tagged("post_install", "-at_install")
class TestOwnOrders(ShopifyCase):
    """Salespeople with "own documents only" see what became of their orders, nobody else's."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.other_company = cls.env["res.company"].create({"name": "Other"})
        cls.anna, cls.bert = (
            new_test_user(
                cls.env,
                f"sales-{name}",
                groups=f"base.group_user,base.group_allow_export,{SALES},{USER}",
            )
            for name in ("anna", "bert")
        )
        cls.stranger = new_test_user(
            cls.env,
            "sales-other",
            groups=f"base.group_user,{SALES},{USER}",
            company_id=cls.other_company.id,
            company_ids=[(6, 0, cls.other_company.ids)],
        )

    def setUp(self):
        super().setUp()
        self.sales = {}
        for number, user in enumerate((self.anna, self.bert), 1):
            sale = self.import_one(order(number, [line(number, "10.0")], "10.0"))
            sale.user_id = user
            self.sales[user] = sale
        self.env.flush_all()
        self.env.invalidate_all()
        self.orders = [("res_model", "=", "sale.order")]

    def test_each_sees_what_became_of_their_own_orders(self):
        for user, sale in self.sales.items():
            for model, label in (("sync.log", "label"), ("binding", "external_label")):
                rows = self.env[f"integration.{model}"].with_user(user)
                found = rows.search(self.orders)
                self.assertEqual(found.mapped("res_id"), sale.ids, model)
                self.assertEqual(rows.search_count(self.orders), 1)
                self.assertEqual(len(rows._read_group(self.orders, [label], ["__count"])), 1)
                exported = found.export_data([label])["datas"]
                self.assertEqual(exported, [[found[label]]])
                others = rows.sudo().search(self.orders) - found.sudo()
                self.assertEqual(len(others), 1)
                for read in (
                    lambda row: row.read(["res_id"]),
                    lambda row: row.web_read({"display_name": {}}),
                    lambda row: row.export_data(["display_name"]),
                ):
                    with self.assertRaises(AccessError):
                        read(others.with_user(user).sudo(False))

    def test_other_companies_see_nothing(self):
        for model in ("integration.sync.log", "integration.binding"):
            rows = self.env[model].with_user(self.stranger)
            self.assertFalse(rows.search([]))
            self.assertFalse(rows.sudo().search(self.orders).sudo(False)._filtered_access("read"))

    def test_the_form_shows_the_status(self):
        for user, sale in self.sales.items():
            own = sale.with_user(user)
            view = own.get_view(view_type="form")
            self.assertIn("action_open_integration_operations", view["arch"])
            self.assertEqual(own.integration_sync_state, "done")
            self.assertEqual(own.integration_binding_count, 1)
            action = own.action_open_integration_operations()
            found = self.env[action["res_model"]].with_user(user).search(action["domain"])
            self.assertEqual(found.mapped("res_id"), sale.ids)
            # the screens that the buttons lead to
            for model in (action["res_model"], "integration.binding"):
                for kind in ("list", "form", "search"):
                    rows = self.env[model].with_user(user)
                    arch = etree.fromstring(rows.get_view(view_type=kind)["arch"])
                    inner = set(arch.xpath("//field//field/@name"))
                    shown = set(arch.xpath("//field/@name")) - inner
                    self.assertTrue(shown)
                    if kind != "search":
                        rows.search(self.orders).read(list(shown))

    def test_a_failed_update_shows_on_the_order(self):
        sale = self.sales[self.anna]
        operation = self.refuse_one(
            order(1, [line(1, "10.0", sku="NOT-HERE", variant=None, quantity=2)], "99.0")
        )
        self.assertEqual(operation.res_id, sale.id)
        self.env.invalidate_all()
        self.assertEqual(sale.with_user(self.anna).integration_sync_state, "failed")
        self.assertFalse(operation.with_user(self.bert).has_access("read"))

    def test_without_the_role_there_is_no_status(self):
        self.anna.group_ids -= self.env.ref(USER)
        own = self.sales[self.anna].with_user(self.anna)
        self.assertNotIn("integration_sync_state", own.get_view(view_type="form")["arch"])
        with self.assertRaises(AccessError):
            own.read(["integration_sync_state"])
