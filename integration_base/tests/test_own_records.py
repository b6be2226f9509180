from odoo.exceptions import AccessError
from odoo.tests import tagged
from odoo.tests.common import new_test_user

from .common import IntegrationCase

ROLE = "integration_base.group_integration_"


@tagged("post_install", "-at_install")
class TestOwnRecords(IntegrationCase):
    """A plain user sees what became of the records that user may read, and of no others."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.other_company = cls.env["res.company"].create({"name": "Other"})
        cls.anna, cls.bert, cls.operator, cls.auditor = (
            new_test_user(
                cls.env,
                f"own-{name}",
                groups=f"base.group_user,base.group_allow_export,{ROLE}{role}",
            )
            for name, role in (
                ("anna", "user"),
                ("bert", "user"),
                ("operator", "operator"),
                ("auditor", "auditor"),
            )
        )
        # as "own documents only" of sales: records of others are out of sight
        cls.env["ir.rule"].create(
            {
                "name": "Own contacts",
                "model_id": cls.env["ir.model"]._get_id("res.partner"),
                "domain_force": "['|', ('user_id', '=', user.id), ('partner_share', '=', False)]",
                "groups": [(4, cls.env.ref(f"{ROLE}user").id)],
            }
        )

    def setUp(self):
        super().setUp()
        for number, user in enumerate((self.anna, self.bert), 1):
            self.service.put(f"c{number}", f"Customer of {user.name}")
        self.service.fetch_errors.clear()
        self.append("c1", "c2", "gone")
        self.append_listing()
        self.drain()
        for number, user in enumerate((self.anna, self.bert), 1):
            self.partners()[f"c{number}"].user_id = user
        self.env.flush_all()
        self.env.invalidate_all()

    def append_listing(self):
        self.env["integration.sync.log"]._append_paged(self.flow, "listing", "manual")

    def all(self, model):
        return self.env[model].search([("backend_id", "=", self.backend.id)])

    def check(self, user, names):
        """Compare what a user finds by every way of reading with ``names``."""
        for model, label in (("sync.log", "label"), ("binding", "external_label")):
            rows = self.all(f"integration.{model}")
            own = rows.with_user(user).browse()
            mine = [("id", "in", rows.ids)]
            found = own.search(mine)
            self.assertEqual(set(found.mapped(label)), names, model)
            self.assertEqual(own.search_count(mine), len(found))
            self.assertEqual(
                own._read_group(mine, [label], ["__count"]), [(n, 1) for n in sorted(names)]
            )
            self.assertEqual({row[label] for row in own.search_read(mine, [label])}, names)
            self.assertEqual({name for _id, name in own.name_search("", mine)}, names)
            exported = found.export_data([label, "display_name"])["datas"]
            self.assertEqual({row[0] for row in exported}, names)
            hidden = rows.with_user(user) - found
            self.assertEqual(rows.with_user(user)._filtered_access("read"), found)
            for row in hidden:
                self.assertFalse(row.has_access("read"))
                with self.assertRaises(AccessError):
                    row.read([label])
                with self.assertRaises(AccessError):
                    row.web_read({"display_name": {}})
                with self.assertRaises(AccessError):
                    row.export_data([label])
                # nor guessed by what it answers to
                name = row.sudo().display_name
                self.assertNotIn(row, own.search([("display_name", "=like", name)]))

    def test_each_sees_what_became_of_their_own(self):
        self.check(self.anna, {f"Customer of {self.anna.name}"})
        self.check(self.bert, {f"Customer of {self.bert.name}"})

    def test_reviewers_and_auditors_see_everything(self):
        for user in (self.operator, self.auditor):
            for model in ("integration.sync.log", "integration.binding"):
                rows = self.all(model)
                self.assertEqual(rows.with_user(user).search([("id", "in", rows.ids)]), rows)
                rows.with_user(user).read(["display_name"])

    def test_who_reviews_and_uses_sees_everything(self):
        self.anna.group_ids |= self.env.ref(f"{ROLE}operator")
        rows = self.all("integration.sync.log")
        self.assertEqual(rows.with_user(self.anna).search([("id", "in", rows.ids)]), rows)

    def test_a_new_owner_sees_it_and_the_old_one_no_more(self):
        name = f"Customer of {self.anna.name}"
        self.partners()["c1"].user_id = self.bert
        self.env.flush_all()
        self.env.invalidate_all()
        self.check(self.bert, {name, f"Customer of {self.bert.name}"})
        rows = self.all("integration.sync.log")
        self.assertFalse(rows.with_user(self.anna).search([("id", "in", rows.ids)]))

    def test_a_failure_belongs_to_its_record(self):
        self.service.put("c1", "Refused", country="XX")
        failed = self.append("c1")
        self.drain()
        self.assertEqual(failed.state, "dead")
        self.assertEqual(failed.with_user(self.anna).search([("id", "=", failed.id)]), failed)
        self.assertFalse(failed.with_user(self.bert).search([("id", "=", failed.id)]))
        for field in ("payload", "detail", "attempt_ids", "exchange_ids", "webhook_event_id"):
            with self.assertRaises(AccessError, msg=field):
                failed.with_user(self.anna).read([field])

    def test_archived_records_are_read_like_others(self):
        self.partners()["c1"].active = False
        self.env.invalidate_all()
        self.check(self.anna, {f"Customer of {self.anna.name}"})

    def test_without_access_to_the_model_there_is_nothing(self):
        self.env["ir.model.access"].search([("model_id.model", "=", "res.partner")]).active = False
        for model in ("integration.sync.log", "integration.binding"):
            rows = self.all(model)
            own = rows.with_user(self.anna)
            self.assertFalse(own.search([("id", "in", rows.ids)]))
            self.assertFalse(own._filtered_access("read"))

    def test_the_company_that_is_switched_on_counts(self):
        self.anna.company_ids |= self.other_company
        rows = self.all("integration.sync.log")
        own = rows.with_user(self.anna)
        for companies, expected in (
            (self.env.company, 1),
            (self.other_company, 0),
            (self.env.company | self.other_company, 1),
        ):
            seen = own.with_context(allowed_company_ids=companies.ids)
            self.assertEqual(seen.search_count([("id", "in", rows.ids)]), expected)
            self.assertEqual(len(seen._filtered_access("read")), expected)
        # a record of another company is out of sight even where the row is not
        self.partners()["c1"].company_id = self.other_company
        self.env.flush_all()
        self.env.invalidate_all()
        seen = own.with_context(allowed_company_ids=self.env.company.ids)
        self.assertFalse(seen.search([("id", "in", rows.ids)]))

    def test_what_tells_of_others_is_closed(self):
        for model in (
            "incident",
            "discrepancy",
            "reconciliation",
            "sync.attempt",
            "webhook.event",
            "exchange",
            "intent",
            "sync.edit",
        ):
            self.assertFalse(
                self.env[f"integration.{model}"].with_user(self.anna).has_access("read"), model
            )

    def test_figures_are_those_of_the_own_records(self):
        backend = self.backend.with_user(self.anna)
        self.assertEqual(backend.binding_count, 1)
        self.assertEqual(self.backend.with_user(self.operator).binding_count, 2)
        self.assertEqual(backend.failed_count, 0)

    def test_the_cost_is_the_same_for_any_number(self):
        log = self.env["integration.sync.log"].with_user(self.anna)

        def measure(ids):
            self.env.invalidate_all()
            log.search([("id", "in", ids)])  # rules and groups are read once
            self.env.invalidate_all()
            self.env.flush_all()
            before = self.cr.sql_log_count
            log.browse(log.search([("id", "in", ids)]).ids).read(["label"])
            return self.cr.sql_log_count - before

        few = self.all("integration.sync.log").ids
        first = measure(few)
        for number in range(30):
            self.service.put(f"n{number}", f"New {number}")
        self.append(*(f"n{number}" for number in range(30)))
        self.drain()
        self.env["res.partner"].search([("name", "=like", "New %")]).user_id = self.anna
        self.assertEqual(measure(self.all("integration.sync.log").ids), first)
        self.assertLessEqual(first, 6)
