"""What customers of Shopify and contacts of Odoo have in common, without a database."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from .address import normal
from .catalogue import same_text
from .contract import read_utc
from .contract_customer import Customer, CustomerAddress, Reachable

#: Namespace and key of the metafield by which a customer made by Odoo is found again.
REFERENCE = {"namespace": "$app", "key": "odoo_contact", "type": "single_line_text_field"}
#: What of a customer has an owner of its own, when neither side owns everything.
PARTS = ("identity", "addresses", "consent", "tax", "tags")
#: Value of the mapping of a customer who is exempt without Shopify saying why.
EXEMPT = "TAX_EXEMPT"
#: What people have decided, by what Shopify says. Nobody asked is no decision.
DECISIONS = {
    "SUBSCRIBED": "subscribed",
    "UNSUBSCRIBED": "unsubscribed",
    "PENDING": "pending",
}
#: The other way round; the only states that Shopify lets others set.
STATES = {decision: state for state, decision in DECISIONS.items()}
#: Fields whose absence says nothing, because a plan or an app may hide them.
PROTECTED = frozenset(
    {
        "firstName",
        "lastName",
        "defaultEmailAddress",
        "defaultPhoneNumber",
        "defaultAddress",
        "addressesV2",
        "note",
    }
)


@dataclass(frozen=True)
class Way:
    """A way to advertise, which needs a consent of its own.

    :param code: first part of our fields: ``email_state``, ``shopify_email_consent``.
    :param source: field of Shopify's customer with the address and what its owner said.
    :param entry: name of the consent in the inputs of mutations.
    :param document: the mutation that changes it.
    """

    code: str
    source: str
    entry: str
    document: str


WAYS = (
    Way("email", "defaultEmailAddress", "emailMarketingConsent", "customer_consent"),
    Way("sms", "defaultPhoneNumber", "smsMarketingConsent", "customer_sms_consent"),
)


def split_name(name: str, known_first: str = "", known_last: str = "") -> tuple[str, str]:
    """Return first and last name: the last word is the last name.

    ``Anna Maria Muster`` gives ``("Anna Maria", "Muster")``, one word alone is a last name.

    :param known_first: how it is split until now, with ``known_last``. What is left of these is
        not split anew: ``Karl van Beethoven`` with the last name ``van Beethoven`` keeps it.
    """
    words = name.split()
    border = max(len(words) - 1, 0)
    before, after = len(known_first.split()), max(len(words) - len(known_last.split()), 0)
    if known_last.strip() and normal(" ".join(words[after:])) == normal(known_last):
        border = after
    elif known_first.strip() and normal(" ".join(words[:before])) == normal(known_first):
        border = before
    return " ".join(words[:border]), " ".join(words[border:])


def digits(phone: str) -> str:
    """Return a phone number in the form it is compared in."""
    return "".join(char for char in phone or "" if char.isdigit() or char == "+")


def recipient(name: str) -> tuple[str, str, str]:
    """Return (company, first name, last name) of whoever stands on an address.

    ``Acme Ltd, Anna Muster`` is how an address with both is kept in Odoo.
    """
    company, comma, person = name.rpartition(", ")
    return (company if comma else "", *split_name(person))


def address_key(values: dict[str, Any]) -> tuple[str, ...]:
    """Return what is equal for equal addresses, of a ``MailingAddressInput``.

    The phone number does not count: it is of the person.
    """
    person = " ".join(filter(None, (values.get("firstName"), values.get("lastName"))))
    names = ("company", "address1", "address2", "zip", "city", "countryCode", "provinceCode")
    return (normal(person), *(normal(values.get(name)) for name in names))


def as_input(address: CustomerAddress) -> dict[str, str]:
    """Return an address of Shopify as the ``MailingAddressInput`` that makes it."""
    return {
        "firstName": address.firstName,
        "lastName": address.lastName,
        "company": address.company,
        "address1": address.address1,
        "address2": address.address2,
        "zip": address.zip,
        "city": address.city,
        "countryCode": address.countryCodeV2,
        "provinceCode": address.provinceCode,
        "phone": address.phone,
    }


def exemptions(data: Any) -> list[str]:
    """Return why a customer (or a company's location) pays no tax, empty when he does.

    :param data: with ``taxExempt`` and ``taxExemptions``.
    """
    return sorted(data.taxExemptions) or ([EXEMPT] if data.taxExempt else [])


@dataclass
class Plan:
    """What has to be done at Shopify so that a customer is as Odoo wants it.

    :ivar update: fields of ``CustomerInput`` that differ.
    :ivar consent: ``{code of the way: state to set}``.
    :ivar create: pairs (address, whether it is the default).
    :ivar change: triples (id, address, whether it is the default).
    :ivar delete: ids of addresses.
    """

    update: dict[str, Any] = field(default_factory=dict)
    consent: dict[str, dict[str, Any]] = field(default_factory=dict)
    add_tags: list[str] = field(default_factory=list)
    remove_tags: list[str] = field(default_factory=list)
    create: list[tuple[dict[str, str], bool]] = field(default_factory=list)
    change: list[tuple[str, dict[str, str], bool]] = field(default_factory=list)
    delete: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return any(vars(self).values())


def plan(
    values: dict[str, Any],
    data: Customer,
    sent_tags: Iterable[str] = (),
    own_addresses: Iterable[str] = (),
) -> Plan:
    """Return what differs between what Odoo wants and what Shopify has.

    Foreign tags and addresses stay. What is hidden from us is not written: it cannot be compared.

    :param values: as prepared by the export: ``customer`` (fields of ``CustomerInput``),
        ``metafields``, ``consent``, ``tags`` and ``addresses`` (the first is the default), each
        only where Odoo owns it.
    :param data: the customer as it is now.
    :param sent_tags: tags that Odoo has given it before; those no longer wanted are taken away.
    :param own_addresses: keys of the addresses that Odoo has made or linked.
    """
    result = Plan()
    current = {
        "firstName": data.firstName,
        "lastName": data.lastName,
        "email": data.email_address,
        "phone": data.phone,
        "locale": data.locale,
        "taxExempt": data.taxExempt,
        "taxExemptions": sorted(data.taxExemptions),
    }
    hidden = {
        "firstName": "firstName",
        "lastName": "lastName",
        "email": "defaultEmailAddress",
        "phone": "defaultPhoneNumber",
    }
    wanted = dict(values.get("customer") or {})
    if "lastName" in wanted:
        wanted |= _names(wanted, current)
    for name, value in wanted.items():
        if hidden.get(name) in data.withheld:
            continue
        known = current.get(name)
        if name == "email":
            same = (value or "").casefold() == (known or "").casefold()
        elif name == "phone":
            same = digits(value) == digits(known)
        elif name in ("firstName", "lastName"):
            same = value.split() == (known or "").split()
        else:
            same = (value or "") == (known or "") if isinstance(value, str) else value == known
        if not same:
            result.update[name] = value
    for row in values.get("metafields") or ():
        known = data.metafields.get(row["namespace"], {}).get(row["key"])
        if not same_text(known, row["value"], row["type"]):
            result.update.setdefault("metafields", []).append(row)
    for code, consent in (values.get("consent") or {}).items():
        # without an address or a number there is nothing to consent to
        known, place = {
            "email": (data.email, data.email_address or result.update.get("email")),
            "sms": (data.sms, data.phone or result.update.get("phone")),
        }[code]
        if place and _replaces(consent, known):
            result.consent[code] = consent
    if "tags" in values:
        have = {tag.casefold() for tag in data.tags}
        wanted = {tag.casefold() for tag in values["tags"]}
        result.add_tags = [tag for tag in values["tags"] if tag.casefold() not in have]
        result.remove_tags = [
            tag for tag in sent_tags if tag.casefold() in have and tag.casefold() not in wanted
        ]
    if "addresses" in values and "addressesV2" not in data.withheld:
        _plan_addresses(result, values["addresses"], data, set(own_addresses))
    return result


def _replaces(consent: dict[str, Any], known: Reachable | None) -> bool:
    """Return whether a consent in Odoo replaces what the shop knows: the newer decision counts."""
    if known is None or known.marketingState not in DECISIONS:
        return True
    if known.marketingState == consent["marketingState"]:
        return False
    since = consent["consentUpdatedAt"]
    if since and known.marketingUpdatedAt:
        return read_utc(since) >= known.marketingUpdatedAt
    # an objection outlives a consent that nobody can date
    return bool(since) or known.marketingState != "UNSUBSCRIBED"


def _names(values: dict[str, Any], known: dict[str, Any]) -> dict[str, str]:
    """Return ``firstName`` and ``lastName`` of values, split as in what is known."""
    name = " ".join(filter(None, (values.get("firstName"), values.get("lastName"))))
    first, last = split_name(name, known["firstName"] or "", known["lastName"] or "")
    return {"firstName": first, "lastName": last}


def _plan_addresses(result: Plan, wanted: list[dict], data: Customer, own: set[str]) -> None:
    """Match addresses by what they say; what is left is changed, made or deleted."""
    default, ids = data.default_key, {row.key: row.id for row in data.addresses}
    free = {row.key: as_input(row) for row in data.addresses}
    missing = []
    for position, row in enumerate(wanted):
        key = address_key(row)
        same = [gid for gid, known in free.items() if address_key(known) == key]
        usual = free.get(default) if not position else None
        if not same and usual and address_key(usual)[1:] == key[1:]:
            # the same place: only the contact has another name now
            free.pop(default)
            result.change.append((ids[default], row | _names(row, usual), False))
            continue
        if not same:
            missing.append((position, row))
            continue
        gid = default if default in same else same[0]
        known = free.pop(gid)
        make_default = not position and gid != default
        if make_default or digits(row.get("phone", "")) not in ("", digits(known["phone"])):
            result.change.append((ids[gid], row | _names(row, known), make_default))
    # what Odoo made and no longer has takes the place of what it has now
    spare = [gid for gid in free if gid in own]
    for position, row in missing:
        if spare:
            gid = spare.pop(0)
            row = row | _names(row, free[gid])
            result.change.append((ids[gid], row, not position and gid != default))
        else:
            result.create.append((row, not position))
    moved = any(is_default for _row, is_default in result.create) or any(
        is_default for _gid, _row, is_default in result.change
    )
    # the default address cannot be deleted while it is one
    result.delete = [ids[gid] for gid in spare if gid != default or moved]
