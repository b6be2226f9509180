import base64

from odoo.exceptions import UserError, ValidationError
from odoo.tests import tagged

from ..lib.errors import MappingError, MissingValue
from .common import IntegrationCase


@tagged("post_install", "-at_install")
class TestMapping(IntegrationCase):
    def test_iso_codes_are_recognised(self):
        self.service.put("c1", "One", country="DE")
        self.append("c1")
        self.drain()
        self.assertEqual(self.partners()["c1"].country_id.code, "DE")
        mapping = self.env["integration.mapping"].search([("backend_id", "=", self.backend.id)])
        self.assertEqual((mapping.external_value, mapping.source), ("DE", "automatic"))

    def test_unknown_value_is_collected_and_releases_what_waits_for_it(self):
        for name in ("c1", "c2", "c3"):
            self.service.put(name, name, country="Atlantis")
        self.service.put("c4", "c4")
        operations = self.append("c1", "c2", "c3", "c4")
        self.drain()
        self.assertEqual(self.states(operations), ["dead", "dead", "dead", "done"])
        mapping = operations[0].mapping_ids
        self.assertEqual(
            (mapping.kind, mapping.external_value, mapping.seen_count, mapping.waiting_count),
            ("country", "Atlantis", 3, 3),
        )
        self.assertEqual(operations[0].missing_mapping_ids, mapping)
        mapping.resource_ref = self.env.ref("base.gr")
        self.assertEqual(self.states(operations)[:3], ["pending"] * 3)
        self.drain()
        self.assertEqual(self.states(operations), ["done"] * 4)
        self.assertEqual(self.partners()["c1"].country_id.code, "GR")

    def test_complaint_about_a_mapped_value_does_not_go_round_in_circles(self):
        self.env["integration.mapping"].create(
            {
                "backend_id": self.backend.id,
                "kind": "country",
                "external_value": "Hellas",
                "resource_ref": f"res.country,{self.env.ref('base.gr').id}",
            }
        )
        self.service.put("c1", "One")
        self.service.apply_errors["c1"] = MappingError(
            "Not this one.", missing=[MissingValue("country", "Hellas")]
        )
        operation = self.append("c1")
        self.drain()
        self.assertEqual((operation.state, operation.attempts), ("dead", 1))

    def test_value_without_a_name_is_called_as_the_service_writes_it(self):
        vals = {"backend_id": self.backend.id, "kind": "country", "external_value": "Hellas"}
        mapping = self.env["integration.mapping"].create(vals)
        self.assertEqual(mapping.external_label, "Hellas")

    def test_wrong_model_is_refused(self):
        with self.assertRaisesRegex(ValidationError, "has to be mapped to a Country"):
            self.env["integration.mapping"].create(
                {
                    "backend_id": self.backend.id,
                    "kind": "country",
                    "external_value": "X",
                    "resource_ref": f"res.currency,{self.env.ref('base.EUR').id}",
                }
            )

    def _import(self, text):
        wizard = self.env["integration.mapping.import"].create(
            {"backend_id": self.backend.id, "file": base64.b64encode(text.encode())}
        )
        return wizard.action_import()

    def test_csv(self):
        self._import(
            "kind;external_value;odoo\ncountry;Hellas;base.gr\ncountry;Deutschland;Germany\n"
        )
        values = self.env["integration.mapping"]._values(self.backend, "country")
        self.assertEqual(
            {key: record.code for key, record in values.items()},
            {"Hellas": "GR", "Deutschland": "DE"},
        )
        self._import("kind,external_value,odoo\ncountry,Hellas,base.cy\n")
        values = self.env["integration.mapping"]._values(self.backend, "country")
        self.assertEqual(values["Hellas"].code, "CY")

    def test_csv_names_every_bad_line_and_imports_nothing(self):
        with self.assertRaises(UserError) as caught:
            self._import(
                "kind,external_value,odoo\ncountry,A,base.gr\nplanet,B,x\ncountry,,x\ncountry,C,Utopia\n"
            )
        for part in ("Line 3: there is no kind planet", "Line 4", "Line 5: no active Country"):
            self.assertIn(part, str(caught.exception))
        self.assertFalse(self.env["integration.mapping"]._values(self.backend, "country"))
        with self.assertRaisesRegex(UserError, "lacks the columns: external_value"):
            self._import("kind,odoo\ncountry,x\n")

    def test_field_mapping_fills_fields_by_owner(self):
        FieldMapping = self.env["integration.field.mapping"]
        field = self.env["ir.model.fields"]._get
        common = {"connector": "fake", "resource": "contact"}
        FieldMapping.create(
            [
                {
                    **common,
                    "external_path": "name",
                    "field_id": field("res.partner", "comment").id,
                    "converter": "html",
                },
                {
                    **common,
                    "external_path": "tags.1",
                    "field_id": field("res.partner", "phone").id,
                    "owner": "odoo",
                },
                {
                    **common,
                    "external_path": "id",
                    "field_id": field("res.partner", "phone").id,
                    "backend_id": self.backend.id,
                    "owner": "odoo",
                },
            ]
        )
        data = {"name": "A <b>", "tags": ["x", "y"], "id": "7"}
        created, updated = FieldMapping._values_in(
            self.backend, "contact", [(data, False), (data, True)]
        )
        self.assertEqual(created, {"comment": "A &lt;b&gt;", "phone": "7"})
        self.assertEqual(updated, {"comment": "A &lt;b&gt;"})
        other = self.backend.copy()
        self.assertEqual(
            FieldMapping._values_in(other, "contact", [(data, False)])[0]["phone"], "y"
        )
        with self.assertRaisesRegex(ValidationError, "not a field of res.partner"):
            FieldMapping.create(
                {**common, "external_path": "id", "field_id": field("res.users", "login").id}
            )
