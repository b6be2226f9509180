"""Customers, companies and their catalogs, as the API says and changes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from graphql import GraphQLResolveInfo

from .customers import CONSENTS
from .mutations import mutation, refused, user_error
from .product_api import metafield_of, metafields_of
from .records import Address, CompanyContact, CompanyLocation, Customer
from .resolvers import (
    by_id,
    connection,
    count_of,
    find,
    searched,
    served,
    shop_of,
)
from .search import Search
from .shop import Refused

# === READING === #

_NEVER_ASKED = {
    "marketingState": "NOT_SUBSCRIBED",
    "marketingOptInLevel": None,
    "marketingUpdatedAt": None,
}


def _email(customer: Customer, info: GraphQLResolveInfo) -> dict[str, Any] | None:
    if not customer.email:
        return None
    return {
        "emailAddress": customer.email,
        "validFormat": "@" in customer.email,
        **_NEVER_ASKED,
        **(customer.consent or {}),
    }


def _phone(customer: Customer, info: GraphQLResolveInfo) -> dict[str, Any] | None:
    if not customer.phone:
        return None
    return {"phoneNumber": customer.phone, **_NEVER_ASKED, **(customer.sms_consent or {})}


def _profiles(customer: Customer, info: GraphQLResolveInfo) -> list[CompanyContact]:
    rows = shop_of(info).all("CompanyContact")
    return [row for row in rows if row.customer is customer]


served(
    "Customer",
    defaultEmailAddress=_email,
    defaultPhoneNumber=_phone,
    taxExemptions="tax_exemptions",
    companyContactProfiles=_profiles,
    metafield=metafield_of,
    metafields=metafields_of,
)
_COMPANY_SEARCH: dict[str, Callable[[Any], Any]] = {
    "id": lambda c: c.id,
    "name": lambda c: c.name,
    "external_id": lambda c: c.external_id,
    "created_at": lambda c: c.created_at,
    "updated_at": lambda c: c.updated_at,
}
_COMPANY_KEYS = {
    "ID": lambda c: c.id,
    "NAME": lambda c: c.name,
    "CREATED_AT": lambda c: c.created_at,
    "UPDATED_AT": lambda c: c.updated_at,
}


def _listed(kind: str) -> Callable[..., Any]:
    def resolve(_root: Any, info: GraphQLResolveInfo, **args: Any) -> Any:
        rows = shop_of(info).all(kind)
        return searched(rows, _COMPANY_SEARCH, _COMPANY_KEYS, info, **args)

    return resolve


def _customers_count(
    _root: Any, info: GraphQLResolveInfo, query: str | None = None, limit: int | None = 10_000
) -> Any:
    from .resolvers import _CUSTOMER_SEARCH

    shop = shop_of(info)
    rows = Search(query, _CUSTOMER_SEARCH, shop.config.timezone).filter(shop.all("Customer"))
    return count_of(rows)


served(
    "QueryRoot",
    customersCount=_customers_count,
    companies=_listed("Company"),
    company=by_id("Company"),
    companyContact=by_id("CompanyContact"),
    companyLocation=by_id("CompanyLocation"),
    companyLocations=_listed("CompanyLocation"),
    catalogs=lambda _r, i, query=None, sortKey=None, type=None, **a: connection(
        shop_of(i).all("CompanyLocationCatalog"), **a
    ),
)


def _roles(contact: CompanyContact, info: GraphQLResolveInfo, **args: Any) -> Any:
    args.pop("sortKey", None)
    rows = [
        {
            "id": f"{contact.gid}-{position}".replace(
                "CompanyContact", "CompanyContactRoleAssignment"
            ),
            "role": {"id": "gid://shopify/CompanyContactRole/1", "name": role, "note": None},
            "companyLocation": place,
            "companyContact": contact,
            "company": contact.company,
        }
        for position, (role, place) in enumerate(contact.roles)
    ]
    return connection(rows, **args)


def _contacts(company: Any, info: GraphQLResolveInfo, **args: Any) -> Any:
    args.pop("sortKey", None)
    args.pop("query", None)
    rows = [row for row in shop_of(info).all("CompanyContact") if row.company is company]
    return connection(rows, **args)


def _terms(place: CompanyLocation, info: GraphQLResolveInfo) -> dict[str, Any] | None:
    if not place.terms:
        return None
    return {
        "paymentTermsTemplate": {
            "id": "gid://shopify/PaymentTermsTemplate/1",
            "name": place.terms["name"],
            "paymentTermsType": place.terms.get("type", "NET"),
            "dueInDays": place.terms.get("days"),
        }
    }


served("Company", note="note", contacts=_contacts, updatedAt="updated_at")
served("CompanyContact", isMainContact="main", roleAssignments=_roles)
served(
    "CompanyLocation",
    shippingAddress=lambda p, i: _CompanyAddress(p.company.name, p.address) if p.address else None,
    billingAddress=lambda p, i: None,
    taxSettings=lambda p, i: {
        "taxRegistrationId": p.tax_registration,
        "taxExempt": p.tax_exempt,
        "taxExemptions": [],
    },
    buyerExperienceConfiguration=_terms,
    catalogs=lambda p, i, sortKey=None, **a: connection(p.catalogs, **a),
    updatedAt="updated_at",
)
served("CompanyLocationCatalog", id="gid", title="title", status="status")


class _CompanyAddress:
    """An address of a company: Shopify calls its parts otherwise than those of people."""

    gql_type = "CompanyAddress"

    def __init__(self, company: str, address: Address) -> None:
        self.company, self.address = company, address


def _of_address(name: str) -> Callable[..., Any]:
    return lambda row, info: getattr(row.address, name)


served(
    "CompanyAddress",
    id=lambda row, info: row.address.gid.replace("MailingAddress", "CompanyAddress"),
    companyName=lambda row, info: row.address.company or row.company,
    countryCode=_of_address("country_code"),
    zoneCode=_of_address("province_code"),
    firstName=_of_address("first_name"),
    lastName=_of_address("last_name"),
    **{name: _of_address(name) for name in ("address1", "address2", "city", "zip", "phone")},
)

# === MUTATIONS === #


def _customer(info: GraphQLResolveInfo, gid: str) -> Customer | None:
    return find(info, gid, "Customer")


_NOBODY = {"field": ["id"], "message": "Customer does not exist", "code": "INVALID"}


def _answer(name: str, work: Callable[[], Any]) -> dict[str, Any]:
    try:
        return {name: work(), "userErrors": []}
    except Refused as error:
        return {name: None, "userErrors": [refused(error)]}


@mutation("customerCreate")
def _customer_create(_root: Any, info: GraphQLResolveInfo, input: dict[str, Any]) -> Any:
    if input.get("id"):
        return {"customer": None, "userErrors": [user_error("ID is not allowed", ["id"])]}
    return _answer("customer", lambda: shop_of(info).write_customer(None, input))


@mutation("customerUpdate")
def _customer_update(_root: Any, info: GraphQLResolveInfo, input: dict[str, Any]) -> Any:
    customer = _customer(info, input["id"]) if input.get("id") else None
    if customer is None:
        return {"customer": None, "userErrors": [_NOBODY]}
    return _answer("customer", lambda: shop_of(info).write_customer(customer, input))


@mutation("customerSet")
def _customer_set(
    _root: Any,
    info: GraphQLResolveInfo,
    input: dict[str, Any],
    identifier: dict[str, Any] | None = None,
) -> Any:
    shop, by = shop_of(info), identifier or {}
    if by.get("id"):
        customer = _customer(info, by["id"])
        if customer is None:
            return {"customer": None, "userErrors": [{**_NOBODY, "code": "NOT_FOUND"}]}
    else:
        customer = shop.same_customer("email", by.get("email"))
        customer = customer or shop.same_customer("phone", by.get("phone"))

    def work() -> Customer:
        values = {key: value for key, value in input.items() if key != "addresses"}
        row = shop.write_customer(customer, values)
        if "addresses" in input:
            # a list that is given replaces what is there
            row.addresses.clear()
            for address in input["addresses"] or []:
                shop.write_address(row, None, address, quiet=True)
        return row

    return _answer("customer", work)


@mutation("customerDelete")
def _customer_delete(_root: Any, info: GraphQLResolveInfo, input: dict[str, Any]) -> Any:
    shop, customer = shop_of(info), _customer(info, input["id"])
    if customer is None:
        return {"deletedCustomerId": None, "shop": shop, "userErrors": [_NOBODY]}

    def work() -> str:
        shop.delete_customer(customer)
        return customer.gid

    return {"shop": shop, **_answer("deletedCustomerId", work)}


def _address(customer: Customer | None, gid: str) -> Address | None:
    number = gid.split("?")[0].rpartition("/")[2]
    rows = customer.addresses if customer else []
    return next((row for row in rows if str(row.id) == number), None)


@mutation("customerAddressCreate")
def _address_create(
    _root: Any,
    info: GraphQLResolveInfo,
    customerId: str,
    address: dict[str, Any],
    setAsDefault: bool | None = None,
) -> Any:
    customer = _customer(info, customerId)
    if customer is None:
        return {"address": None, "userErrors": [{**_NOBODY, "field": ["customerId"]}]}
    return _answer(
        "address", lambda: shop_of(info).write_address(customer, None, address, setAsDefault)
    )


@mutation("customerAddressUpdate")
def _address_update(
    _root: Any,
    info: GraphQLResolveInfo,
    customerId: str,
    addressId: str,
    address: dict[str, Any],
    setAsDefault: bool | None = None,
) -> Any:
    customer = _customer(info, customerId)
    known = _address(customer, addressId)
    if customer is None or known is None:
        error = user_error("Address does not exist", ["addressId"])
        return {"address": None, "userErrors": [error]}
    return _answer(
        "address", lambda: shop_of(info).write_address(customer, known, address, setAsDefault)
    )


@mutation("customerAddressDelete")
def _address_delete(_root: Any, info: GraphQLResolveInfo, customerId: str, addressId: str) -> Any:
    customer = _customer(info, customerId)
    known = _address(customer, addressId)
    if customer is None or known is None:
        error = user_error("Address does not exist", ["addressId"])
        return {"deletedAddressId": None, "userErrors": [error]}
    if known is customer.addresses[0] and len(customer.addresses) > 1:
        error = user_error("Cannot delete the customer's default address", ["addressId"])
        return {"deletedAddressId": None, "userErrors": [error]}
    shop_of(info).delete_address(customer, known)
    return {"deletedAddressId": addressId, "userErrors": []}


@mutation("customerEmailMarketingConsentUpdate")
def _email_consent_update(_root: Any, info: GraphQLResolveInfo, input: dict[str, Any]) -> Any:
    return _consent_update(info, input, "email")


@mutation("customerSmsMarketingConsentUpdate")
def _sms_consent_update(_root: Any, info: GraphQLResolveInfo, input: dict[str, Any]) -> Any:
    return _consent_update(info, input, "sms")


def _consent_update(info: GraphQLResolveInfo, input: dict[str, Any], way: str) -> Any:
    customer = _customer(info, input["customerId"])
    if customer is None:
        return {"customer": None, "userErrors": [{**_NOBODY, "field": ["input", "customerId"]}]}

    def work() -> Customer:
        shop_of(info).set_consent(customer, input[CONSENTS[way]], way=way)
        return customer

    return _answer("customer", work)


@mutation("customerMerge")
def _customer_merge(
    _root: Any,
    info: GraphQLResolveInfo,
    customerOneId: str,
    customerTwoId: str,
    overrideFields: dict[str, Any] | None = None,
) -> Any:
    one, two = _customer(info, customerOneId), _customer(info, customerTwoId)
    if one is None or two is None:
        path = ["customerOneId" if one is None else "customerTwoId"]
        error = user_error("Customer does not exist", path, "INVALID_CUSTOMER_ID")
        return {"resultingCustomerId": None, "job": None, "userErrors": [error]}
    answer = _answer("resultingCustomerId", lambda: shop_of(info).merge_customers(one, two).gid)
    return {"job": None, **answer}
