from unittest.mock import patch

from odoo import Command
from odoo.exceptions import ValidationError
from odoo.tests import tagged
from odoo.tests.common import new_test_user

from ..lib.records import Change
from .common import FakeContact, IntegrationCase

OPERATOR = "integration_base.group_integration_operator"
CONTACTS = "base.group_partner_manager"


@tagged("post_install", "-at_install")
class TestWorkUser(IntegrationCase):
    """Imports write with the rights of one user, who has no more than the flows need."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.enterClassContext(
            patch.object(FakeContact, "_resource_groups", (CONTACTS,), create=True)
        )
        cls.backend._appoint_worker()
        cls.technical = cls.backend.work_user_id

    def run_one(self, external_id="c1"):
        operation = self.append(external_id)
        self.drain()
        operation.invalidate_recordset()
        return operation

    def test_technical_user_has_what_the_flows_need_and_no_more(self):
        needed = self.env.ref(CONTACTS) | self.env.ref(OPERATOR)
        self.assertEqual(
            self.technical.all_group_ids, (needed | self.env.ref("base.group_user")).all_implied_ids
        )
        self.assertFalse(self.technical.has_group("base.group_system"))
        self.assertFalse(self.technical.has_group("integration_base.group_integration_manager"))
        self.env.cr.execute("SELECT password FROM res_users WHERE id = %s", [self.technical.id])
        self.assertFalse(self.env.cr.fetchone()[0])
        self.assertEqual(self.technical.company_ids, self.backend.company_id)

    def test_one_technical_user_per_company(self):
        self.assertEqual(self.backend.copy().work_user_id, self.technical)
        other = self.env["res.company"].create({"name": "Other"})
        theirs = self.backend.copy({"company_id": other.id}).work_user_id
        self.assertNotEqual(theirs, self.technical)
        self.assertEqual(theirs.company_ids, other)

    def test_unused_backend_moves_to_another_company(self):
        other = self.env["res.company"].create({"name": "Other"})
        manager = new_test_user(
            self.env,
            "two_companies",
            groups="base.group_user,integration_base.group_integration_manager",
            company_id=self.backend.company_id.id,
            company_ids=[Command.set((self.backend.company_id + other).ids)],
        )
        unused = self.backend.copy({"name": "Unused"})
        mine = unused.with_user(manager).with_context(allowed_company_ids=manager.company_ids.ids)
        mine.company_id = other
        self.assertEqual(unused.work_user_id, unused._technical_user())
        self.assertEqual(unused.work_user_id.company_ids, other)
        self.assertTrue(unused.work_user_id.has_group(CONTACTS))
        self.assertEqual(self.technical.company_ids, self.backend.company_id)
        # whom somebody has chosen is left to somebody
        clerk = new_test_user(self.env, "clerk_there", company_id=other.id)
        unused.work_user_id = clerk
        with self.assertRaisesRegex(ValidationError, "may not work in"):
            unused.company_id = self.backend.company_id
        unused.work_user_id = False
        unused.company_id = self.backend.company_id
        self.assertFalse(unused.work_user_id, "all rights were chosen")

    def test_hooks_run_with_the_rights_of_that_user_only(self):
        seen = {}

        def spy(name, hook):
            def run(resource, backend, items):
                environments = [
                    resource.env,
                    backend.env,
                    *(i.record.env for i in items if i.record),
                ]
                seen[name] = {(env.uid, env.su) for env in environments}
                return hook(resource, backend, items)

            return run

        hooks = ("_map", "_find_existing", "_apply")
        for name in hooks:
            patcher = patch.object(FakeContact, name, spy(name, getattr(FakeContact, name)))
            self.startPatcher(patcher)
        self.service.put("c1", "One")
        self.assertEqual(self.run_one().state, "done")
        self.assertEqual(seen, {name: {(self.technical.id, False)} for name in hooks})
        self.service.put("c1", "Two")
        self.assertEqual(self.run_one().state, "done")
        self.assertEqual(seen["_apply"], {(self.technical.id, False)})
        partner = self.partners()["c1"]
        self.assertEqual((partner.name, partner.create_uid), ("Two", self.technical))

    def test_missing_right_is_told_and_mended(self):
        clerk = new_test_user(self.env, "clerk", groups=f"base.group_user,{OPERATOR}")
        self.backend.work_user_id = clerk
        self.service.put("c1", "One")
        operation = self.run_one()
        self.assertEqual((operation.state, operation.error_class), ("dead", "configuration"))
        self.assertIn(clerk.name, operation.message)
        self.assertFalse(self.env["res.partner"].search([("ref", "=", "c1")]))
        clerk.group_ids |= self.env.ref(CONTACTS)
        operation._requeue()
        self.drain()
        self.assertEqual(self.states(operation), ["done"])
        self.assertEqual(self.partners()["c1"].create_uid, clerk)

    def test_archived_user_stops_the_work_with_the_reason(self):
        self.technical.active = False
        self.service.put("c1", "One")
        operation = self.run_one()
        self.assertEqual((operation.state, operation.error_class), ("dead", "configuration"))
        self.assertIn("archived", operation.message)

    def test_deletions_are_followed_with_the_same_rights(self):
        self.service.put("c1", "One")
        self.run_one()
        partner = self.partners()["c1"]
        users = []

        def follow(resource, backend, items):
            users.append(backend.env)

        with patch.object(FakeContact, "_apply_deletion", follow, create=True):
            del self.service.records["c1"]
            self.env["integration.sync.log"]._append(
                self.flow, [Change("c1", deleted=True)], "webhook"
            )
            self.drain()
        self.assertEqual([(env.uid, env.su) for env in users], [(self.technical.id, False)])
        self.assertTrue(partner.active)

    def test_user_of_another_company_is_refused(self):
        other = self.env["res.company"].create({"name": "Other"})
        stranger = new_test_user(self.env, "stranger", company_id=other.id)
        with self.assertRaises(ValidationError):
            self.backend.work_user_id = stranger

    def test_chosen_user_is_kept_and_given_nothing(self):
        clerk = new_test_user(self.env, "clerk", groups=f"base.group_user,{OPERATOR}")
        self.backend.work_user_id = clerk
        self.backend._appoint_worker()
        self.assertEqual(self.backend.work_user_id, clerk)
        self.assertFalse(clerk.has_group(CONTACTS))

    def test_new_needs_are_met(self):
        with patch.object(FakeContact, "_resource_groups", (CONTACTS, "base.group_allow_export")):
            self.backend.action_test_connection()
        self.assertTrue(self.technical.has_group("base.group_allow_export"))


@tagged("post_install", "-at_install")
class TestAllRights(IntegrationCase):
    def test_without_stated_needs_it_works_with_all_rights(self):
        self.assertFalse(self.backend.work_user_id)
        self.service.put("c1", "One")
        self.append("c1")
        self.drain()
        self.assertIn("c1", self.partners())

    def test_work_stays_in_the_company_of_its_backend(self):
        other = self.env["res.company"].create({"name": "Other"})
        theirs = self.backend.copy({"name": "Theirs", "company_id": other.id})
        theirs.state = "active"
        seen = []

        def spy(resource, backend, items, apply=FakeContact._apply):
            for env in (resource.env, backend.env, *(item.record.env for item in items)):
                seen.append((env.company, env.companies))
            return apply(resource, backend, items)

        self.service.put("c1", "One")
        partner = self.env["res.partner"].create({"name": "Before", "ref": "c1"})
        for backend, company in ((self.backend, self.env.company), (theirs, other)):
            self.flow = backend.flow_ids
            self.append("c1")
            with patch.object(FakeContact, "_apply", spy):
                self.drain()
            self.assertEqual(set(seen), {(company, company)})
            seen.clear()
        links = self.env["integration.binding"].search([("res_id", "=", partner.id)])
        self.assertEqual(links.mapped("company_id"), self.env.company | other)
