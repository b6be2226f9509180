"""What the engine and the hooks of a connector hand to each other."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from .errors import IntegrationError, MissingValue, SkipRecord


@dataclass(frozen=True)
class Change:
    """One external record that changed, as learnt from a listing or a notification.

    :param external_id: the id the resource's ``_fetch`` understands.
    :param updated_at: when the external system changed it (naive UTC), if it says so.
    :param label: what people call the record, e.g. ``#1001``.
    :param deleted: whether it was deleted there.
    :param payload: the record itself, as ``_fetch`` would return it (with a JSON form), where a
        listing for an initial load brings it along; it is used unless a newer version is told of
        meanwhile.
    :param read_at: since when ``payload`` is true, by the clock of the service (naive UTC).
    """

    external_id: str
    updated_at: datetime | None = None
    label: str = ""
    deleted: bool = False
    payload: Any = field(default=None, repr=False)
    read_at: datetime | None = None


@dataclass(frozen=True)
class Watch:
    """Stored Odoo fields whose changes have to be exported.

    :param model: Odoo model, e.g. ``stock.quant``.
    :param fields: names of its stored fields, computed ones included.
    :param path: stored many2one fields that lead from the changed record to the exported one,
        e.g. ``product_id``; empty when it is the exported record itself.
    """

    model: str
    fields: tuple[str, ...]
    path: str = ""


@dataclass(frozen=True)
class ChangePage:
    """One page of a listing of changed records.

    :param changes: the records of this page.
    :param next_page: opaque JSON value to ask for the next page with, None on the last one.
    :param ordered: whether the whole listing is sorted by ``updated_at``, oldest first. Then
        the flow's cursor may move after each page; else only when the listing is complete.
    """

    changes: list[Change]
    next_page: Any = None
    ordered: bool = True


@dataclass(frozen=True)
class Snapshot:
    """One record as a listing of everything shows it: enough to tell whether it changed.

    :param updated_at: when the external system last changed it (naive UTC), if the list says so.
    :param digest: what the resource's ``_digest`` gives for the record (or any other text that is
        equal for equal records), where the list holds the whole record.
    :param label: what people call the record.
    """

    external_id: str
    updated_at: datetime | None = None
    digest: str | None = None
    label: str = ""


@dataclass(frozen=True)
class ListPage:
    """One page of a listing of all records.

    :param next_page: opaque JSON value to ask for the next page with, None on the last one.
    """

    snapshots: list[Snapshot]
    next_page: Any = None


@dataclass(frozen=True)
class Difference:
    """A field that is not the same on both sides.

    :param field: its name for people.
    :param odoo: what Odoo has, as text.
    :param external: what the external system has, as text.
    """

    field: str
    odoo: str
    external: str


@dataclass(frozen=True)
class PrivacyNotice:
    """What a service asks for on behalf of a person whose data it gave away.

    :param kind: ``erase`` and ``export`` are about one person, ``erase_all`` about everything of
        the backend: the account there is gone. ``manual`` is for a person to find out.
    :param records: pairs ``(resource, external id)`` of the person's records.
    :param contacts: e-mail addresses and phone numbers of the person.
    :param reference: what the service calls its request.
    """

    kind: str
    records: tuple[tuple[str, str], ...] = ()
    contacts: tuple[str, ...] = ()
    reference: str = ""


@dataclass(frozen=True)
class Notification:
    """What a webhook says, as far as we believe it: a pointer, not data.

    :param resource: the resource concerned, or None for a topic nobody handles.
    :param change: the record concerned.
    :param privacy: a request for personal data to be exported or erased, instead of a record.
    """

    resource: str | None
    change: Change | None = None
    privacy: PrivacyNotice | None = None


@dataclass(frozen=True)
class WebhookHeaders:
    """The envelope of a webhook, read without trusting the body.

    :param topic: the service's name of the event, e.g. ``orders/create``.
    :param event_id: identical for all deliveries of one event; the inbox is unique by it.
    :param triggered_at: when the event happened (naive UTC), if signed or sent.
    :param signed_at: when this delivery was signed (UTC, or with its zone), only if the signature
        covers it; refused as a replay when it is further from now than the connector tolerates.
    :param environment: ``sandbox`` for an event of a test account or sent to try things out,
        ``production`` for a live one, only where the service says so; a backend of the other
        environment refuses it.
    """

    topic: str
    event_id: str
    triggered_at: datetime | None = None
    signed_at: datetime | None = None
    environment: str | None = None


@dataclass(frozen=True)
class Subscription:
    """What a service sends notifications of, and where to.

    :param topic: as in ``_connector_topics``.
    :param address: where it sends them.
    :param remote_id: what it is called there; needed to delete it.
    :param drifted: what it is set up otherwise than we would now, e.g. ``filter``; one of ours is
        then replaced.
    """

    topic: str
    address: str
    remote_id: str = ""
    drifted: str = ""


@dataclass
class Item:
    """One operation on its way through fetch, validate, map, apply and bind.

    The hooks fill it step by step. ``fail`` and ``skip`` take this record out of the batch
    without hurting its neighbours; use them before anything was written for the record.
    """

    operation_id: int
    #: empty when an outgoing record is not known outside yet
    external_id: str
    label: str = ""
    #: equal in every try to create the outgoing record; to be sent along with it
    idempotency_key: str = ""
    #: whether the intent to create it stands in the database, without an outcome yet
    announced: bool = False
    #: what ``_fetch`` returned for the record, or ``_push`` got as the answer
    payload: Any = None
    #: what ``_push`` found just before it wrote; None for a record that it has made
    before: Any = None
    #: what ``_validate`` made of it
    data: Any = None
    #: digest of ``data``: equal digests end the operation before any write
    digest: str = ""
    #: when the external system last changed the record (naive UTC)
    updated_at: datetime | None = None
    #: since when ``payload`` is true, by the clock of the service (naive UTC)
    fetched_at: datetime | None = None
    #: write even if the digest is the known one
    forced: bool = False
    #: whether ``data`` differs from what was last written
    changed: bool = True
    #: the bound or matched Odoo record, else None
    record: Any = None
    #: whether ``record`` comes from a binding (so this is an update)
    bound: bool = False
    #: whether the import makes the record: it is neither bound nor matched
    is_new: bool = False
    #: digest of what was last sent of an outgoing record
    known_digest: str = ""
    #: whether an outgoing record is as it shall be at the service
    sent: bool = False
    #: what ``_map`` prepared for ``_apply``, or ``_export`` for ``_push``
    values: dict = field(default_factory=dict)
    #: whether Odoo is the side that decides (the flow goes out of Odoo)
    outgoing: bool = False
    #: what ``_compare`` found; empty when both sides agree, None when it cannot tell
    differences: list[Difference] | None = None
    #: optional values seen for the mapping screen (unknown, but not needed to go on)
    seen: list[MissingValue] = field(default_factory=list)
    #: notes for the person, shown on the operation when it is done
    notes: list[str] = field(default_factory=list)
    #: whether ``payload`` came with the listing of an initial load
    staged: bool = False
    #: why there is no ``payload``: the service no longer has the record
    gone: IntegrationError | None = None
    error: IntegrationError | None = None

    def fail(self, error: IntegrationError) -> None:
        """Take the record out of the batch; ``error`` is handled as if it had been raised."""
        self.error = error

    def skip(self, reason: str) -> None:
        """Take the record out of the batch as not for us, with the reason."""
        self.error = SkipRecord(reason)

    def mark_sent(self, external_id: str = "") -> None:
        """Note, in ``_push``, that the service has the record; what fails later is not repeated.

        :param external_id: of a record that was created.
        """
        self.external_id = external_id or self.external_id
        self.sent = True

    def restart(self) -> None:
        """Forget what a rolled back try left behind; payload, data and digest stay."""
        self.record, self.bound, self.values = None, False, {}
        self.changed = self.payload is not None
        self.seen, self.notes, self.error = [], [], None

    @property
    def alive(self) -> bool:
        """Whether the record is still on its way."""
        return self.error is None
