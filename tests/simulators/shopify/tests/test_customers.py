"""Customers and companies: what is unique, what is refused, and who is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ..app import Simulator

CREATE = """mutation C($input: CustomerInput!) {
  customerCreate(input: $input) { customer { id email } userErrors { field message } } }"""
ADDRESS = """mutation A($id: ID!, $a: MailingAddressInput!, $d: Boolean) {
  customerAddressCreate(customerId: $id, address: $a, setAsDefault: $d) {
    address { id } userErrors { field message } } }"""
READ = """query R($id: ID!) { customer(id: $id) {
  tags taxExemptions defaultAddress { city } addressesV2(first: 9) { nodes { id city } }
  defaultEmailAddress { emailAddress marketingState marketingOptInLevel }
  reference: metafield(namespace: "$app", key: "k") { value }
  companyContactProfiles { title company { name } } } }"""
Run = Callable[..., dict[str, Any]]


@pytest.fixture
def told(simulator: Simulator) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    simulator.shop.emit = lambda topic, record: found.append((topic, record))
    return found


def create(graphql: Run, **values: Any) -> Any:
    answer = graphql(CREATE, {"input": values})
    assert "errors" not in answer, answer
    return answer["data"]["customerCreate"]


def test_email_and_phone_are_unique(graphql: Run) -> None:
    made = create(graphql, email="Anna@example.com", phone="+49301234")
    assert made["customer"] and not made["userErrors"]
    for path, value in (("email", "anna@EXAMPLE.com"), ("phone", "+49301234")):
        values = {path: value}
        again = create(graphql, lastName="Other", **values)
        assert again["customer"] is None
        (error,) = again["userErrors"]
        assert error["field"] == [path] and "already been taken" in error["message"]
    assert create(graphql)["userErrors"][0]["message"].startswith("A name, phone number")


def test_reference_consent_and_addresses(graphql: Run, told: list) -> None:
    field = {"namespace": "$app", "key": "k", "type": "single_line_text_field", "value": "17"}
    made = create(
        graphql,
        email="a@example.com",
        metafields=[field],
        taxExemptions=["US_CA_RESELLER_EXEMPTION"],
        emailMarketingConsent={"marketingState": "SUBSCRIBED"},
    )["customer"]["id"]
    one = {"address1": "Weg 1", "city": "Berlin", "countryCode": "DE"}
    for address, default in ((one, False), ({**one, "city": "Bonn"}, True)):
        graphql(ADDRESS, {"id": made, "a": address, "d": default})
    doubled = graphql(ADDRESS, {"id": made, "a": one})["data"]["customerAddressCreate"]
    assert doubled["userErrors"][0]["message"] == "Address has already been taken"
    found = graphql(READ, {"id": made})["data"]["customer"]
    assert found["defaultAddress"]["city"] == "Bonn"
    assert len(found["addressesV2"]["nodes"]) == 2
    assert found["reference"]["value"] == "17"
    assert found["defaultEmailAddress"]["marketingState"] == "SUBSCRIBED"
    assert [topic for topic, _record in told] == ["CUSTOMERS_CREATE", *["CUSTOMERS_UPDATE"] * 2]


def test_consent_that_only_shopify_sets(graphql: Run, told: list) -> None:
    made = create(graphql, email="a@example.com")["customer"]["id"]
    document = """mutation C($input: CustomerEmailMarketingConsentUpdateInput!) {
      customerEmailMarketingConsentUpdate(input: $input) {
        customer { id } userErrors { field message code } } }"""
    for state, code in (("NOT_SUBSCRIBED", "INVALID"), ("UNSUBSCRIBED", None)):
        consent = {"customerId": made, "emailMarketingConsent": {"marketingState": state}}
        answer = graphql(document, {"input": consent})["data"]
        errors = answer["customerEmailMarketingConsentUpdate"]["userErrors"]
        assert [error["code"] for error in errors] == ([code] if code else [])
    assert told[-1][0] == "CUSTOMERS_EMAIL_MARKETING_CONSENT_UPDATE"


def test_merge_keeps_one(graphql: Run, simulator: Simulator, told: list) -> None:
    one = create(graphql, email="a@example.com")["customer"]["id"]
    two = create(graphql, phone="+49301234")["customer"]["id"]
    document = """mutation M($a: ID!, $b: ID!) {
      customerMerge(customerOneId: $a, customerTwoId: $b) {
        resultingCustomerId userErrors { message code } } }"""
    answer = graphql(document, {"a": one, "b": two})["data"]["customerMerge"]
    assert answer["resultingCustomerId"] == one
    assert simulator.shop.find(two) is None
    topic, body = told[-1]
    assert topic == "CUSTOMERS_MERGE"
    assert (body["admin_graphql_api_customer_kept_id"], body["status"]) == (one, "completed")
    scopes = tuple(s for s in simulator.shop.config.scopes if "merge" not in s)
    refused = graphql(document, {"a": one, "b": two}, scopes=scopes)
    assert refused["errors"][0]["extensions"]["code"] == "ACCESS_DENIED"


def test_personal_data_is_hidden(graphql: Run, simulator: Simulator) -> None:
    made = create(graphql, email="a@example.com", tags=["vip"])["customer"]["id"]
    simulator.shop.config.protected_data = False
    answer = graphql(READ, {"id": made})
    # the addresses may not be empty, so they take the customer with them
    assert answer["data"] == {"customer": None}
    assert {e["extensions"]["code"] for e in answer["errors"]} == {"ACCESS_DENIED"}


def test_company(graphql: Run, simulator: Simulator, told: list) -> None:
    buyer = create(graphql, email="a@example.com")["customer"]["id"]
    simulator.shop.add_company(
        {
            "name": "Acme",
            "locations": [
                {
                    "name": "Berlin",
                    "address": {"address1": "Weg 1", "city": "Berlin", "country_code": "DE"},
                    "taxRegistrationId": "DE1",
                    "catalogs": ["Wholesale"],
                    "terms": {"name": "Net 30", "days": 30},
                }
            ],
            "contacts": [
                {
                    "customer": buyer,
                    "title": "Buyer",
                    "roles": [{"role": "Location admin", "location": "Berlin"}],
                }
            ],
        }
    )
    document = """{ companies(first: 5, query: "updated_at:>='2026-01-01T00:00:00Z'",
        sortKey: UPDATED_AT) { nodes { name
      locations(first: 5) { nodes { name shippingAddress { address1 countryCode }
        taxSettings { taxRegistrationId }
        buyerExperienceConfiguration { paymentTermsTemplate { dueInDays } }
        catalogs(first: 5) { nodes { title status } } } }
      contacts(first: 5) { nodes { title customer { id }
        roleAssignments(first: 5) { nodes { role { name } companyLocation { name } } } } } } } }"""
    answer = graphql(document)
    assert "errors" not in answer, answer
    (company,) = answer["data"]["companies"]["nodes"]
    (place,) = company["locations"]["nodes"]
    assert place["taxSettings"]["taxRegistrationId"] == "DE1"
    assert place["catalogs"]["nodes"] == [{"title": "Wholesale", "status": "ACTIVE"}]
    (contact,) = company["contacts"]["nodes"]
    assert contact["roleAssignments"]["nodes"][0]["companyLocation"]["name"] == "Berlin"
    assert [t for t, _r in told if t.startswith("COMPAN")] == [
        "COMPANY_LOCATIONS_CREATE",
        "COMPANY_CONTACTS_CREATE",
        "COMPANIES_CREATE",
    ]
    found = graphql(READ, {"id": buyer})["data"]["customer"]
    assert found["companyContactProfiles"] == [{"title": "Buyer", "company": {"name": "Acme"}}]
