"""A shop with customers and companies that change as the real one's do, and a case that uses it."""

import copy
import re

from odoo.addons.integration_base.lib.errors import RetryableError
from odoo.addons.integration_base.lib.records import Change

from .common import FakeShop, ShopifyCase, address, connection

GID = "gid://shopify/Customer/{}"
#: Consents by the names of inputs, and where they stand in a customer.
CONSENTS = {
    "emailMarketingConsent": "defaultEmailAddress",
    "smsMarketingConsent": "defaultPhoneNumber",
}


def gid(number):
    """Return the id of a customer."""
    return GID.format(number)


def place(number, street="Hauptstr. 5", **values):
    """Return an address of a customer."""
    return {
        "id": f"gid://shopify/MailingAddress/{number}?model_name=Address",
        **address(address1=street, **values),
    }


def customer(number=1, *places, email="anna@example.com", consent="NOT_SUBSCRIBED", **values):
    """Return a customer as the API returns it; the first of ``places`` is the usual address."""
    return {
        "id": gid(number),
        "updatedAt": "2026-11-20T10:00:00Z",
        "firstName": "Anna",
        "lastName": "Muster",
        "defaultEmailAddress": email
        and {
            "emailAddress": email,
            "marketingState": consent,
            "marketingOptInLevel": None,
            "marketingUpdatedAt": "2026-11-19T10:00:00Z",
        },
        "defaultPhoneNumber": None,
        "locale": "en",
        "note": None,
        "tags": [],
        "state": "DISABLED",
        "taxExempt": False,
        "taxExemptions": [],
        "reference": None,
        "companyContactProfiles": [],
        "lastOrder": None,
        "defaultAddress": {"id": places[0]["id"]} if places else None,
        "addressesV2": connection(*places),
        **values,
    }


def location(number, name="Berlin", **values):
    """Return a location of a company."""
    return {
        "id": f"gid://shopify/CompanyLocation/{number}",
        "name": name,
        "externalId": None,
        "phone": None,
        "taxSettings": {"taxRegistrationId": None, "taxExempt": False, "taxExemptions": []},
        "buyerExperienceConfiguration": None,
        "shippingAddress": {
            "firstName": None,
            "lastName": None,
            "companyName": "Acme",
            "address1": f"{name}er Str. 1",
            "address2": None,
            "city": name,
            "zip": "10115",
            "phone": None,
            "countryCode": "DE",
            "zoneCode": None,
        },
        "billingAddress": None,
        "catalogs": connection(),
        **values,
    }


def company(number=1, *locations, contacts=(), **values):
    """Return a company; ``contacts`` are pairs (customer number, title)."""
    return {
        "id": f"gid://shopify/Company/{number}",
        "updatedAt": "2026-11-20T10:00:00Z",
        "name": "Acme",
        "externalId": None,
        "note": None,
        "contacts": connection(
            *(
                {
                    "id": f"gid://shopify/CompanyContact/{buyer}",
                    "title": title,
                    "isMainContact": False,
                    "customer": {"id": gid(buyer)},
                    "roleAssignments": connection(
                        {
                            "role": {"name": "Location admin"},
                            "companyLocation": {"id": locations[0]["id"], "name": "Berlin"},
                        }
                    )
                    if locations
                    else connection(),
                }
                for buyer, title in contacts
            )
        ),
        "locations": connection(*locations),
        **values,
    }


class CustomerShop(FakeShop):
    """Keeps customers, refuses what Shopify refuses, and counts the calls.

    :ivar lost: how many of the next mutations take effect without an answer.
    :ivar hidden: names of fields of customers that the app may not see.
    :ivar hidden_whole: whether such a field takes the customer with it.
    """

    def __init__(self):
        super().__init__()
        self.customers, self.companies = {}, {}
        self.number, self.lost, self.hidden, self.hidden_whole = 1000, 0, (), False

    def put(self, *records):
        for payload in records:
            kind = payload["id"].split("/")[3]
            table = {"Customer": self.customers, "Company": self.companies}.get(kind, self.orders)
            table[payload["id"]] = payload

    def mutations(self):
        return [(name, values) for name, values in self.calls if name.split("_")[-1] in WRITES]

    def execute(self, name, variables=None, *, money="presentment"):
        answer = super().execute(name, variables, money=money)
        if name.split("_")[-1] in WRITES and self.lost:
            self.lost -= 1
            raise RetryableError("The answer was lost.")
        return answer

    def _cut_all(self, record, **sizes):
        for name, size in sizes.items():
            self._cut(record[name], 0, size)
        return record

    def _customers(self, variables):
        nodes, errors = [], []
        for position, key in enumerate(variables["ids"]):
            row = copy.deepcopy(self.customers.get(key))
            if row:
                self._cut(row["addressesV2"], 0, variables["addresses"])
                for name in self.hidden:
                    row[name] = None
                    errors.append(denied("nodes", position, name))
                if self.hidden_whole:
                    errors.append(denied("nodes", position, "addressesV2"))
                    row = None
            nodes.append(row)
        self.partial["customers"] = errors
        return {"nodes": nodes}

    def _customer_addresses(self, variables):
        row = copy.deepcopy(self.customers[variables["id"]])
        self._cut(row["addressesV2"], int(variables["after"]), variables["first"])
        return {"customer": row}

    def _changed(self, table, variables):
        since = next(iter(re.findall(r"'([^']*)'", variables["query"] or "")), "")
        rows = sorted(table.values(), key=lambda row: row["updatedAt"])
        found = connection(*(row for row in rows if row["updatedAt"] >= since))
        start = int(variables["after"] or 0)
        self._cut(found, start, variables["first"])
        return found

    def _customer_changes(self, variables):
        return {"customers": self._changed(self.customers, variables)}

    def _customer_find(self, variables):
        wanted = variables["identifier"]
        for row in self.customers.values():
            email = (row["defaultEmailAddress"] or {}).get("emailAddress")
            phone = (row["defaultPhoneNumber"] or {}).get("phoneNumber")
            if wanted.get("emailAddress", "?") == email or wanted.get("phoneNumber", "?") == phone:
                name = f"{row['firstName']} {row['lastName']}"
                return {"customerByIdentifier": {**copy.deepcopy(row), "displayName": name}}
        return {"customerByIdentifier": None}

    def _touch(self, row):
        minute = int(row["updatedAt"][14:16]) + 1
        row["updatedAt"] = f"{row['updatedAt'][:14]}{minute:02}:00Z"

    def _write(self, row, values, name):
        for field, key, inner in (
            ("email", "defaultEmailAddress", "emailAddress"),
            ("phone", "defaultPhoneNumber", "phoneNumber"),
        ):
            if not values.get(field):
                continue
            for other in self.customers.values():
                if other is not row and (other[key] or {}).get(inner) == values[field]:
                    text = f"{field.capitalize()} has already been taken"
                    error = {"field": [field], "message": text}
                    return {name: {"customer": None, "userErrors": [error]}}
            row[key] = {**(row[key] or {"marketingState": "NOT_SUBSCRIBED"}), inner: values[field]}
        for field in ("firstName", "lastName", "locale", "tags", "taxExempt", "taxExemptions"):
            if field in values:
                row[field] = values[field]
        for field in values.get("metafields") or ():
            if field["namespace"] == "$app":
                row["reference"] = {"value": field["value"]}
                continue
            known = (row.get("metafields") or connection())["nodes"]
            same = ("namespace", "key")
            others = [other for other in known if any(other[n] != field[n] for n in same)]
            row["metafields"] = connection(*others, field)
        for entry, place in CONSENTS.items():
            if values.get(entry):
                self._consent(row[place], values[entry])
        self._touch(row)
        self.customers[row["id"]] = row
        return {name: {"customer": {"id": row["id"]}, "userErrors": []}}

    def _consent(self, place, values):
        place |= {
            "marketingState": values["marketingState"],
            "marketingOptInLevel": values.get("marketingOptInLevel"),
            "marketingUpdatedAt": values.get("consentUpdatedAt"),
        }

    def _customer_create(self, variables):
        self.number += 1
        row = customer(self.number, email=None, firstName=None, lastName=None)
        return self._write(row, variables["input"], "customerCreate")

    def _customer_update(self, variables):
        row = self.customers[variables["input"]["id"]]
        return self._write(row, variables["input"], "customerUpdate")

    def _customer_consent(self, variables):
        row = self.customers[variables["input"]["customerId"]]
        self._consent(row["defaultEmailAddress"], variables["input"]["emailMarketingConsent"])
        self._touch(row)
        return {"customerEmailMarketingConsentUpdate": {"customer": {"id": row["id"]}}}

    def _customer_sms_consent(self, variables):
        row = self.customers[variables["input"]["customerId"]]
        self._consent(row["defaultPhoneNumber"], variables["input"]["smsMarketingConsent"])
        self._touch(row)
        return {"customerSmsMarketingConsentUpdate": {"customer": {"id": row["id"]}}}

    def _customer_tags_add(self, variables):
        row = self.customers[variables["id"]]
        row["tags"] = [*row["tags"], *variables["tags"]]
        self._touch(row)
        return {"tagsAdd": {"node": {"id": row["id"]}, "userErrors": []}}

    def _customer_tags_remove(self, variables):
        row = self.customers[variables["id"]]
        gone = {tag.casefold() for tag in variables["tags"]}
        row["tags"] = [tag for tag in row["tags"] if tag.casefold() not in gone]
        self._touch(row)
        return {"tagsRemove": {"node": {"id": row["id"]}, "userErrors": []}}

    def _store(self, row, known, variables):
        values = {
            **{key: value for key, value in variables["address"].items() if key != "countryCode"},
            "countryCodeV2": variables["address"]["countryCode"],
            "name": None,
            "province": None,
            "id": known,
        }
        rows = row["addressesV2"]["nodes"]
        rows[:] = [values if old["id"] == known else old for old in rows]
        if known not in [old["id"] for old in rows]:
            rows.append(values)
        if variables.get("setAsDefault") or not row["defaultAddress"]:
            row["defaultAddress"] = {"id": known}
        self._touch(row)
        return {"address": {"id": known}, "userErrors": []}

    def _customer_address_create(self, variables):
        self.number += 1
        known = f"gid://shopify/MailingAddress/{self.number}?model_name=Address"
        row = self.customers[variables["customerId"]]
        return {"customerAddressCreate": self._store(row, known, variables)}

    def _customer_address_update(self, variables):
        row = self.customers[variables["customerId"]]
        return {"customerAddressUpdate": self._store(row, variables["addressId"], variables)}

    def _customer_address_delete(self, variables):
        row = self.customers[variables["customerId"]]
        rows = row["addressesV2"]["nodes"]
        rows[:] = [old for old in rows if old["id"] != variables["addressId"]]
        self._touch(row)
        return {"customerAddressDelete": {"deletedAddressId": variables["addressId"]}}

    def _companies(self, variables):
        nodes = []
        for key in variables["ids"]:
            row = copy.deepcopy(self.companies.get(key))
            if row:
                self._cut_all(row, locations=variables["locations"], contacts=variables["contacts"])
            nodes.append(row)
        return {"nodes": nodes}

    def _company_locations(self, variables):
        row = copy.deepcopy(self.companies[variables["id"]])
        self._cut(row["locations"], int(variables["after"]), variables["first"])
        return {"company": row}

    def _company_changes(self, variables):
        return {"companies": self._changed(self.companies, variables)}

    def _company_location_changes(self, variables):
        return {"companyLocations": connection()}


#: Last words of the names of mutations.
WRITES = ("create", "update", "delete", "consent", "add", "remove")


def denied(*path):
    """Return the error of a field that Shopify hides for privacy."""
    return {
        "message": f"This app is not approved to use the {path[-1]} field.",
        "path": list(path),
        "extensions": {"code": "ACCESS_DENIED"},
    }


class CustomerCase(ShopifyCase):
    """Customers come in and go out; Shopify owns them unless a test says otherwise."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        flows = cls.backend.flow_ids
        of_customers = flows.filtered(lambda flow: flow.resource == "customer")
        cls.customers_in = of_customers.filtered(lambda flow: flow.direction == "in")
        cls.customers_out = of_customers - cls.customers_in
        cls.companies_in = flows.filtered(lambda f: f.resource == "company")
        (cls.customers_in | cls.customers_out | cls.companies_in).enabled = True

    def setUp(self):
        super().setUp()
        self.shop = CustomerShop()

    def run_flow(self, flow):
        self.env.flush_all()
        self.env.cr.precommit.run()
        self.env.cr.execute(
            "UPDATE integration_sync_log SET next_attempt_at = create_date WHERE state = 'pending';"
            "UPDATE integration_flow SET blocked_until = NULL"
        )
        self.env.flush_all()
        with self.enter_registry_test_mode():
            self.env["integration.engine"]._drain(flow.id)
        self.env.invalidate_all()

    def bring(self, *records, force=False):
        """Put records into the shop and import them; returns the operations."""
        self.shop.put(*records)
        of_company = "/Company/" in records[0]["id"]
        flow = self.companies_in if of_company else self.customers_in
        return self.bring_ids(*(row["id"] for row in records), flow=flow, force=force)

    def bring_ids(self, *ids, flow=None, force=False):
        flow = flow or self.customers_in
        Log = self.env["integration.sync.log"]
        operations = Log._append(flow, [Change(key) for key in ids], "webhook", force=force)
        self.run_flow(flow)
        return operations.exists()

    def one(self, record, **options):
        """Import one record that has to succeed; returns the contact."""
        operation = self.bring(record, **options)
        self.assertEqual(operation.state, "done", operation.message)
        return self.env["res.partner"].browse(operation.res_id)

    def push(self):
        """Send what waits; returns the operations of the flow, oldest first."""
        self.run_flow(self.customers_out)
        return self.env["integration.sync.log"].search(
            [("flow_id", "=", self.customers_out.id)], order="id"
        )

    def link(self, partner, resource="customer"):
        return self.env["integration.binding"].search(
            [
                ("backend_id", "=", self.backend.id),
                ("resource", "=", resource),
                ("res_id", "=", partner.id),
            ]
        )

    def changed(self, record, **values):
        """Return the record as it is a minute later."""
        copied = {**copy.deepcopy(record), **values}
        self.shop._touch(copied)
        return copied
