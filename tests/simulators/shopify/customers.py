"""Customers and companies of a shop: what changes them, and what Shopify refuses."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from .base import Base, Refused, action
from .catalogue import COUNTRIES
from .records import (
    Address,
    Catalog,
    Company,
    CompanyContact,
    CompanyLocation,
    Customer,
    now,
)

_EMAIL = re.compile(r"^[^@\s]+@[^@\s]+\.[^@\s.]+$")
_PHONE = re.compile(r"^\+?[\d\s().-]{5,}$")
#: States of consent that others may set.
SETTABLE = ("SUBSCRIBED", "UNSUBSCRIBED", "PENDING")
#: Ways to advertise: their names in inputs, what they need, and what tells of a change.
CONSENTS = {"email": "emailMarketingConsent", "sms": "smsMarketingConsent"}
NEEDED = {"email": ("email", "An email address"), "sms": ("phone", "A phone number")}
TOPICS = {
    "email": "CUSTOMERS_EMAIL_MARKETING_CONSENT_UPDATE",
    "sms": "CUSTOMERS_MARKETING_CONSENT_UPDATE",
}
MAX_ADDRESSES = 250
MAX_TAGS = 250


class Customers(Base):
    """Changes of customers and companies; each stamps the record and notifies."""

    make_address: Any

    def same_customer(self, key: str, value: str | None) -> Customer | None:
        """The customer with an e-mail address or phone number; both are unique."""
        if not value:
            return None
        return next(
            (
                row
                for row in self.all("Customer")
                if (getattr(row, key) or "").lower() == value.lower()
            ),
            None,
        )

    @action
    def touch_customer(self, customer: Customer, topic: str = "CUSTOMERS_UPDATE") -> None:
        customer.updated_at = max(now(), customer.updated_at)
        self.emit(topic, customer)

    def check_contact(self, customer: Customer | None, values: dict[str, Any]) -> None:
        """:raises Refused: for what Shopify refuses of an e-mail address or phone number."""
        for key, name, pattern in (
            ("email", "Email", _EMAIL),
            ("phone", "Phone", _PHONE),
        ):
            value = values.get(key)
            if not value:
                continue
            if not pattern.match(value):
                raise Refused(f"{name} is invalid", [key], "INVALID")
            other = self.same_customer(key, value)
            if other and other is not customer:
                raise Refused(f"{name} has already been taken", [key], "TAKEN")
        known = [getattr(customer, name) for name in _NAMES] if customer else [None] * len(_NAMES)
        if not any(values.get(name, old) for name, old in zip(_INPUT_NAMES, known, strict=True)):
            raise Refused("A name, phone number, or email address must be present", None, "BLANK")
        if len(values.get("tags") or ()) > MAX_TAGS:
            raise Refused(f"Tags cannot be more than {MAX_TAGS}", ["tags"], "TOO_LONG")

    @action
    def write_customer(self, customer: Customer | None, values: dict[str, Any]) -> Customer:
        """Create (without ``customer``) or change one, as ``CustomerInput`` says.

        :raises Refused: with the path of the bad field.
        """
        self.check_contact(customer, values)
        created = customer is None
        if customer is None:
            given = {way: values[entry] for way, entry in CONSENTS.items() if values.get(entry)}
            for way, (needed, words) in NEEDED.items():
                if way in given and not values.get(needed):
                    raise Refused(f"{words} is required", [CONSENTS[way]], "INVALID")
            customer = self.add(Customer(self.next_id("Customer")))
            self.effects["customer"] += 1
            for way, consent in given.items():
                self.set_consent(customer, consent, way=way, quiet=True)
        for entry in CONSENTS.values() if not created else ():
            if values.get(entry):
                mutation = f"customer{entry[0].upper()}{entry[1:]}Update"
                raise Refused(
                    f"To update {entry}, please use the {mutation} Mutation instead", [entry]
                )
        for name, attribute in zip(_INPUT_NAMES, _NAMES, strict=True):
            if name in values:
                setattr(customer, attribute, values[name] or None)
        for name, attribute in (
            ("note", "note"),
            ("locale", "locale"),
            ("taxExempt", "tax_exempt"),
        ):
            if values.get(name) is not None:
                setattr(customer, attribute, values[name])
        if "tags" in values:
            customer.tags = list(dict.fromkeys(values["tags"] or []))
        if "taxExemptions" in values:
            customer.tax_exemptions = list(values["taxExemptions"] or [])
        for row in values.get("addresses") or ():
            self.write_address(customer, None, row, quiet=True)
        for row in values.get("metafields") or ():
            space = (row.get("namespace") or "$app").replace("$app", f"app--{self.app_id}")
            kind = row.get("type") or "single_line_text_field"
            self.write_metafield(customer, space, row["key"], kind, row["value"])
        self.touch_customer(customer, "CUSTOMERS_CREATE" if created else "CUSTOMERS_UPDATE")
        return customer

    def set_consent(
        self, customer: Customer, values: dict[str, Any], *, way: str = "email", quiet: bool = False
    ) -> None:
        """:raises Refused: for a state that only Shopify sets."""
        needed, words = NEEDED[way]
        state = values["marketingState"]
        if state not in SETTABLE:
            raise Refused(
                f"Cannot specify {state} as a marketing state input",
                ["input", CONSENTS[way], "marketingState"],
                "INVALID",
            )
        if not quiet and not getattr(customer, needed):
            raise Refused(
                f"The customer must have {words.lower()}", ["input", "customerId"], "INVALID"
            )
        given = values.get("consentUpdatedAt")
        moment = given if isinstance(given, datetime) else self._moment(given)
        consent = {
            "marketingState": state,
            "marketingOptInLevel": values.get("marketingOptInLevel") or "SINGLE_OPT_IN",
            "marketingUpdatedAt": moment,
        }
        if way == "sms":
            customer.sms_consent = consent
        else:
            customer.consent = consent
        if not quiet:
            # Shopify sends no customers/update for this alone.
            customer.updated_at = max(now(), customer.updated_at)
            self.emit(TOPICS[way], customer)

    # === ADDRESSES === #

    def write_address(
        self,
        customer: Customer,
        address: Address | None,
        values: dict[str, Any],
        default: bool | None = None,
        *,
        quiet: bool = False,
    ) -> Address:
        """Add or change an address.

        :raises Refused: for one that is there already, or names a country nobody knows.
        """
        spec = {name: values.get(name) for name in _ADDRESS}
        country = values.get("countryCode")
        if country and country not in COUNTRIES:
            raise Refused("Country is not supported", ["address", "country"], "INVALID")
        if country in ("US", "CA", "AU", "JP") and not values.get("provinceCode") and not quiet:
            raise Refused("Province is not valid", ["address", "provinceCode"], "INVALID")
        new = self.make_address({key: value for key, value in spec.items() if value})
        if any(row is not address and _same_address(row, new) for row in customer.addresses):
            self.records["MailingAddress"].pop(new.id, None)
            raise Refused("Address has already been taken", ["address"], "TAKEN")
        if address is None:
            if len(customer.addresses) >= MAX_ADDRESSES:
                raise Refused("The customer has too many addresses", ["address"], "TOO_LONG")
            customer.addresses.append(new)
            address = new
        else:
            number = address.id
            self.records["MailingAddress"].pop(new.id, None)
            vars(address).update(vars(new))
            address.id = number
        if default:
            # the first one is the usual one
            customer.addresses.remove(address)
            customer.addresses.insert(0, address)
        if not quiet:
            self.touch_customer(customer)
        return address

    @action
    def delete_address(self, customer: Customer, address: Address) -> None:
        customer.addresses.remove(address)
        self.touch_customer(customer)

    # === MERGING AND DELETING === #

    @action
    def delete_customer(self, customer: Customer) -> None:
        """:raises Refused: for one with orders."""
        if customer.orders:
            raise Refused("Customer can't be deleted because they have associated orders", ["id"])
        self._forget(customer)
        self.emit("CUSTOMERS_DELETE", {"id": customer.id})

    def _forget(self, customer: Customer) -> None:
        self.records["Customer"].pop(customer.id, None)

    @action
    def merge_customers(self, one: Customer, two: Customer) -> Customer:
        """Merge two customers; the one with an e-mail address is kept, else the second.

        :raises Refused: for one and the same.
        """
        if one is two:
            raise Refused("Customers IDs should not match", None, "INVALID_CUSTOMER_ID")
        kept, gone = (one, two) if one.email and not two.email else (two, one)
        for name in ("email", "phone", "first_name", "last_name", "note"):
            setattr(kept, name, getattr(kept, name) or getattr(gone, name))
        kept.tags = list(dict.fromkeys([*kept.tags, *gone.tags]))
        for address in gone.addresses:
            if not any(_same_address(row, address) for row in kept.addresses):
                kept.addresses.append(address)
        for order in gone.orders:
            order.customer = kept
            kept.orders.append(order)
        for contact in self.all("CompanyContact"):
            if contact.customer is gone:
                contact.customer = kept
        self._forget(gone)
        self.touch_customer(kept)
        self.emit(
            "CUSTOMERS_MERGE",
            {
                "admin_graphql_api_customer_kept_id": kept.gid,
                "admin_graphql_api_customer_deleted_id": gone.gid,
                "admin_graphql_api_job_id": None,
                "status": "completed",
                "errors": [],
            },
        )
        return kept

    # === COMPANIES === #

    @action
    def add_company(self, spec: dict[str, Any]) -> Company:
        """Create or change a company (found by name).

        :param spec: ``name``, ``externalId``, ``note``, ``locations`` (``{name, externalId, phone,
            taxRegistrationId, taxExempt, catalogs: [title], terms: {name, type, days}, address}``)
            and ``contacts`` (``{customer, title, main, roles: [{role, location}]}``).
        """
        company = next((c for c in self.all("Company") if c.name == spec["name"]), None)
        created = company is None
        if company is None:
            company = self.add(Company(self.next_id("Company"), spec["name"]))
        company.external_id = spec.get("externalId", company.external_id)
        company.note = spec.get("note", company.note)
        for row in spec.get("locations", []):
            self._add_location_of(company, row)
        for row in spec.get("contacts", []):
            self._add_contact(company, row)
        company.updated_at = max(now(), company.updated_at)
        self.emit("COMPANIES_CREATE" if created else "COMPANIES_UPDATE", company)
        return company

    def _add_location_of(self, company: Company, spec: dict[str, Any]) -> None:
        place = next((p for p in company.locations if p.name == spec["name"]), None)
        created = place is None
        if place is None:
            number = self.next_id("CompanyLocation")
            place = self.add(CompanyLocation(number, company, spec["name"]))
            company.locations.append(place)
        for name, attribute in (
            ("externalId", "external_id"),
            ("phone", "phone"),
            ("taxRegistrationId", "tax_registration"),
            ("taxExempt", "tax_exempt"),
            ("terms", "terms"),
        ):
            if name in spec:
                setattr(place, attribute, spec[name])
        if spec.get("address"):
            place.address = self.make_address(spec["address"])
        if "catalogs" in spec:
            place.catalogs = [self._catalog(title) for title in spec["catalogs"]]
        place.updated_at = max(now(), place.updated_at)
        self.emit("COMPANY_LOCATIONS_CREATE" if created else "COMPANY_LOCATIONS_UPDATE", place)

    def _catalog(self, title: str) -> Catalog:
        known = next((c for c in self.all("CompanyLocationCatalog") if c.title == title), None)
        return known or self.add(Catalog(self.next_id("CompanyLocationCatalog"), title))

    def _add_contact(self, company: Company, spec: dict[str, Any]) -> None:
        customer = self.get("Customer", spec["customer"])
        known = [c for c in self.all("CompanyContact") if c.company is company]
        contact = next((c for c in known if c.customer is customer), None)
        if contact is None:
            number = self.next_id("CompanyContact")
            contact = self.add(CompanyContact(number, company, customer))
            self.emit("COMPANY_CONTACTS_CREATE", contact)
        contact.title = spec.get("title", contact.title)
        contact.roles = [
            (row["role"], next(p for p in company.locations if p.name == row["location"]))
            for row in spec.get("roles", [])
        ]


_INPUT_NAMES = ("firstName", "lastName", "email", "phone")
_NAMES = ("first_name", "last_name", "email", "phone")
_ADDRESS = (
    "firstName",
    "lastName",
    "company",
    "address1",
    "address2",
    "city",
    "zip",
    "phone",
    "countryCode",
    "provinceCode",
)


def _same_address(one: Address, other: Address) -> bool:
    return {**vars(one), "id": 0} == {**vars(other), "id": 0}
