"""What we need of Shopify's customers and companies, and how strict we are about it.

As in :mod:`.contract`; names are those of the documents ``customers`` and ``companies``.
"""

from typing import Annotated, Any

from pydantic import AliasPath, BeforeValidator, Field

from odoo.addons.integration_base.lib.contract import Payload

from .contract import Address, Gid, OptionalUtc, Reference, Text, Utc, _nodes


def part_id(gid: str) -> str:
    """Return the id of a part without what stands behind it (``...?model_name=Address``)."""
    return gid.partition("?")[0]


def _metafields(value: Any) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for row in _nodes(value or []):
        found.setdefault(row["namespace"], {})[row["key"]] = row["value"]
    return found


def _localized(value: Any) -> dict[str, str]:
    fields = (value or {}).get("localizedFields") or []
    return {row["key"]: row["value"] for row in _nodes(fields)}


def _rows(value: Any) -> Any:
    return _nodes(value or [])


class Reachable(Payload):
    """Whether somebody wants to get advertisements in one way.

    :ivar marketingState: of Shopify's ``CustomerEmailAddressMarketingState`` or
        ``CustomerSmsMarketingState``.
    :ivar marketingUpdatedAt: when that was said (naive UTC).
    """

    marketingState: Text = ""
    marketingOptInLevel: Text = ""
    marketingUpdatedAt: OptionalUtc = None


class EmailAddress(Reachable):
    emailAddress: Text = ""


class PhoneNumber(Reachable):
    phoneNumber: Text = ""


class CustomerAddress(Address):
    """An address of a customer.

    :ivar id: as Shopify wants it back.
    """

    id: Gid

    @property
    def key(self) -> str:
        """The id in the form it is compared in."""
        return part_id(self.id)


class Profile(Payload):
    """A customer as a contact of a company."""

    id: Gid
    title: Text = ""
    isMainContact: bool = False
    company: Reference


class Customer(Payload):
    """A customer.

    :ivar withheld: names of the fields that Shopify does not show us; they are empty here, whatever
        they are there.
    :ivar localizedFields: what the buyer typed in with his last order, by key: tax numbers.
    :ivar metafields: by namespace and key, those that the field mapping asks for.
    :ivar merged: id of the customer that Shopify has merged into this one and deleted.
    """

    id: Gid
    updatedAt: Utc
    firstName: Text = ""
    lastName: Text = ""
    email: EmailAddress | None = Field(None, alias="defaultEmailAddress")
    sms: PhoneNumber | None = Field(None, alias="defaultPhoneNumber")
    locale: Text = ""
    note: Text = ""
    tags: list[str] = []
    state: Text = ""
    taxExempt: bool = False
    taxExemptions: list[str] = []
    reference: Text = Field("", validation_alias=AliasPath("reference", "value"))
    companyContactProfiles: Annotated[list[Profile], BeforeValidator(_rows)] = []
    localizedFields: Annotated[dict[str, str], BeforeValidator(_localized)] = Field(
        {}, alias="lastOrder"
    )
    metafields: Annotated[dict[str, dict[str, str]], BeforeValidator(_metafields)] = {}
    defaultAddress: Reference | None = None
    addresses: Annotated[list[CustomerAddress], BeforeValidator(_rows)] = Field(
        [], alias="addressesV2"
    )
    withheld: list[str] = []
    merged: Text = ""

    @property
    def default_key(self) -> str:
        """The ``key`` of the usual address, empty without one."""
        return part_id(self.defaultAddress.id) if self.defaultAddress else ""

    @property
    def phone(self) -> str:
        """The phone number, empty without one."""
        return self.sms.phoneNumber.strip() if self.sms else ""

    @property
    def email_address(self) -> str:
        """The e-mail address, empty without one."""
        return self.email.emailAddress.strip() if self.email else ""


class CompanyAddress(Payload):
    firstName: Text = ""
    lastName: Text = ""
    companyName: Text = ""
    address1: Text = ""
    address2: Text = ""
    city: Text = ""
    zip: Text = ""
    phone: Text = ""
    countryCode: Text = ""
    zoneCode: Text = ""

    def as_address(self) -> Address:
        """Return it in the form of the other addresses."""
        return Address(
            firstName=self.firstName,
            lastName=self.lastName,
            company=self.companyName,
            address1=self.address1,
            address2=self.address2,
            city=self.city,
            zip=self.zip,
            phone=self.phone,
            countryCodeV2=self.countryCode,
            provinceCode=self.zoneCode,
        )


class TaxSettings(Payload):
    taxRegistrationId: Text = ""
    taxExempt: bool = False
    taxExemptions: list[str] = []


class TermsTemplate(Payload):
    name: Text = ""
    paymentTermsType: Text = ""
    dueInDays: int | None = None


class BuyerExperience(Payload):
    paymentTermsTemplate: TermsTemplate | None = None


class Catalog(Payload):
    id: Gid
    title: Text = ""
    status: Text = ""


class CompanyLocation(Payload):
    """A branch: where goods and invoices go, and on what terms it buys."""

    id: Gid
    name: Text = ""
    externalId: Text = ""
    phone: Text = ""
    taxSettings: TaxSettings = TaxSettings()
    buyerExperienceConfiguration: BuyerExperience | None = None
    shippingAddress: CompanyAddress | None = None
    billingAddress: CompanyAddress | None = None
    catalogs: Annotated[list[Catalog], BeforeValidator(_rows)] = []


class Role(Payload):
    role: Reference | dict[str, Any]
    companyLocation: Reference

    @property
    def name(self) -> str:
        """What the contact may do there, e.g. ``Location admin``."""
        return self.role.name if isinstance(self.role, Reference) else self.role.get("name") or ""


class CompanyContact(Payload):
    id: Gid
    title: Text = ""
    isMainContact: bool = False
    customer: Reference
    roleAssignments: Annotated[list[Role], BeforeValidator(_rows)] = []


class Company(Payload):
    """A company that buys through Shopify's B2B."""

    id: Gid
    updatedAt: Utc
    name: Text = ""
    externalId: Text = ""
    note: Text = ""
    contacts: Annotated[list[CompanyContact], BeforeValidator(_rows)] = []
    locations: Annotated[list[CompanyLocation], BeforeValidator(_rows)] = []
