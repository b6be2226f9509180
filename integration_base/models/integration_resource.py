from datetime import datetime

from odoo import api, models
from odoo.tools import float_compare

from ..lib import contract
from ..lib.digest import canonical_json, digest
from ..lib.errors import (
    AuthError,
    ConfigurationError,
    IntegrationError,
    RateLimitedError,
    RetryableError,
    SkipRecord,
)
from ..lib.intents import LATE_SECONDS
from ..lib.records import Difference, ListPage, Snapshot

#: Types of fields whose values cannot be told apart by what is written into them.
UNCOMPARED = ("one2many", "many2many", "binary", "properties", "properties_definition")


class IntegrationResource(models.AbstractModel):
    """Behaviour of one kind of record. Inherit it as ``integration.<connector>.<resource>``.

    The engine runs a batch of operations through ``_fetch`` and ``_validate`` (in a transaction
    that only reads) and then, in one transaction, ``_map``, ``_find_existing``, ``_apply``.
    Resources are stateless; the backend is the first argument. Hooks that work on sets get a list
    of :class:`~..lib.records.Item`: one search, one create for all of them. ``item.fail(error)``
    and ``item.skip(reason)`` take one record out before anything was written for it; an exception
    rolls the batch back, and the engine halves it until the guilty record stands alone.
    """

    _name = "integration.resource"
    _description = "Integration Resource"

    #: Name for people, plural: ``Orders``.
    _resource_name = ""
    #: Odoo model the resource becomes.
    _resource_model = ""
    #: ``in`` (external system -> Odoo), ``out``, or ``both`` (two flows).
    _resource_direction = "in"
    #: Directions whose flow is off on a new backend until somebody switches it on.
    _resource_starts_off: frozenset[str] = frozenset()
    #: :class:`~..lib.records.Watch`: changes in Odoo that have to be exported.
    _resource_watches: tuple = ()
    #: Which changed records are exported: ``bound`` (those the backend knows) or ``all``.
    _resource_export_scope = "bound"
    #: Which records an initial load exports, where that is another answer than for changes:
    #: ``all`` for records that are few among many, and come to be exported in a way of their own.
    _resource_load_scope = ""
    #: Whether deleting the Odoo record has to reach the service.
    _resource_deletes = False
    #: Whether creating a record twice makes two of it, so that a creation is announced first and
    #: looked up after a lost answer. Only for services where it does not: False.
    _resource_unrepeatable = True
    #: Whether the service carries out only once what comes twice with one idempotency key. Else a
    #: creation whose answer was lost is only repeated when it can no longer take effect.
    _resource_honours_keys = False
    #: Seconds after its start within which a creation without an answer may still take effect.
    _resource_late_seconds = LATE_SECONDS
    #: Whether the import of a known record writes what the export sends. False where each field
    #: has one owner: then only of a record that it makes nothing is left to be sent.
    _resource_imports_exported = True
    #: pydantic model (``lib.contract.Payload``) of what :meth:`_fetch` returns per record.
    _resource_contract = None
    #: Top-level fields of the contract that change without meaning anything for us.
    _resource_digest_exclude: frozenset[str] = frozenset()
    #: External ids of the groups whose rights :meth:`_map`, :meth:`_find_existing`, :meth:`_apply`,
    #: :meth:`_export`, :meth:`_compare` and what follows deletions need. A backend works as a
    #: technical user with nothing but these and Integration Operator; without any, with all rights.
    _resource_groups: tuple[str, ...] = ()
    #: Records per batch: one fetch, one transaction.
    _resource_batch_size = 50
    #: Whether :meth:`_fetch_period` lists records by a date of their own, such as an order's.
    _resource_has_period = False
    #: Minutes between two listings of changes; 0 for none.
    _resource_interval_minutes = 5

    # === HOOKS - READING === #

    def _fetch(self, backend, external_ids):
        """Read records from the external system.

        :param list[str] external_ids: at most the batch size of the flow.
        :returns: ``{external_id: payload}``; an id that no longer exists is left out. An error of
            ``lib/errors.py`` in the place of a payload concerns this record only.
        :raises IntegrationError: for the whole batch; see ``lib/errors.py``.
        """
        raise NotImplementedError(f"{self._name}._fetch")

    def _fetch_each(self, external_ids, read):
        """Read records from a service that gives one per call; for :meth:`_fetch`.

        What was read is kept when the service stops answering, or the limit of its calls is used
        up, in the middle: only the other records have to wait.

        :param read: called with an external id; returns its payload, None for one that no longer
            exists.
        :returns: as :meth:`_fetch`.
        :raises IntegrationError: where nothing can be read.
        """
        payloads = {}
        for position, external_id in enumerate(external_ids):
            try:
                payloads[external_id] = read(external_id)
            except (RateLimitedError, RetryableError) as error:
                if not payloads:
                    raise
                payloads.update(dict.fromkeys(external_ids[position:], error))
                break
            except (AuthError, ConfigurationError):
                raise
            except IntegrationError as error:
                payloads[external_id] = error
        return {key: payload for key, payload in payloads.items() if payload is not None}

    def _fetch_changes(self, backend, since, page):
        """List what changed, oldest first where the service can sort.

        :param datetime since: naive UTC; the overlap is already taken off. None means everything.
        :param page: what the previous page gave as ``next_page``; None for the first one.
        :returns: :class:`~..lib.records.ChangePage`.
        """
        raise NotImplementedError(f"{self._name}._fetch_changes")

    def _fetch_all(self, backend, since, page):
        """List everything together with the records themselves; for an initial load.

        For services that hand out all of their data at once. Each :class:`~..lib.records.Change`
        has a ``payload``, so that the records are not fetched one by one. Called in a transaction
        that is committed together with ``next_page``: what is written in it is there, or not, as
        the page is. A page may be empty, and the listing go on.

        :param datetime since: naive UTC; only what was changed since then. None means everything.
        :param page: what the previous page gave as ``next_page``; None for the first one.
        :returns: :class:`~..lib.records.ChangePage`; None when this is not possible, or turns out
            not to be: then :meth:`_fetch_changes` is used from its beginning.
        :raises NotReadyError: while the service still prepares the data.
        """
        return None

    def _fetch_period(self, backend, since, until, page):
        """List records by a date of their own, whenever they were changed; for an initial load.

        Only with ``_resource_has_period``.

        :param datetime since: naive UTC; None means from the beginning.
        :param datetime until: naive UTC, exclusive; None means until now.
        :param page: what the previous page gave as ``next_page``; None for the first one.
        :returns: :class:`~..lib.records.ChangePage`.
        """
        raise NotImplementedError(f"{self._name}._fetch_period")

    def _count_period(self, backend, since, until):
        """Return how many records :meth:`_fetch_period` will list, None when nobody can tell."""
        return None

    def _period_notice(self, backend, since):
        """Return what a person has to know before an initial load, empty for nothing.

        :param datetime since: the beginning of the period (naive UTC), None for the very first.
        """
        return ""

    def _resolve_reference(self, backend, reference):
        """Return the external id of what a person typed, e.g. ``#1001``. Default: as typed.

        :raises IntegrationError: when there is no such record, or more than one.
        """
        return reference

    def _validate(self, backend, payload, label):
        """Return ``payload`` checked against the contract.

        :returns: an instance of ``_resource_contract``, or ``payload`` where there is none.
        :raises InvalidPayloadError: with the path of every bad field.
        """
        if self._resource_contract is None:
            return payload
        return contract.validate(self._resource_contract, payload, label)

    def _updated_at(self, data) -> datetime | None:
        """Return when the external system last changed the record (naive UTC), if it says so."""
        return None

    def _label(self, data) -> str:
        """Return what people call the record, e.g. ``#1001``."""
        return ""

    def _digest(self, data) -> str:
        """Return a digest of all that matters of ``data``; equal digests end the operation."""
        if hasattr(data, "model_dump"):
            data = data.model_dump(mode="json", exclude=set(self._resource_digest_exclude))
        return digest(data)

    def _missing_on_fetch(self, backend, external_id, label):
        """Return the error for a record that the service no longer has. Default: skipped."""
        return SkipRecord(
            self.env._(
                "%(label)s no longer exists in %(backend)s.",
                label=label or external_id,
                backend=backend.display_name,
            )
        )

    # === HOOKS - ACCESS === #

    def _resource_scopes(self, backend, direction):
        """Return the rights that a flow of this resource needs at the service, and what for.

        They are asked for when the service is connected, and compared with what it grants: a flow
        that lacks one is stopped, with the reason, until it is granted.

        :param str direction: ``in`` or ``out``.
        :returns: list of :class:`~..lib.scopes.Scope`; empty where the service has none.
        """
        return []

    # === HOOKS - WRITING === #

    def _map(self, backend, items):
        """Prepare ``item.values`` for :meth:`_apply`, reading only; fail single items here.

        :param list[Item] items: validated; ``item.record`` is set where a binding exists.
        """
        raise NotImplementedError(f"{self._name}._map")

    def _find_existing(self, backend, items):
        """Match records that have no binding yet, so that nothing is created twice.

        Set ``item.record`` where exactly one Odoo record is the counterpart: first by our own
        reference found in the external record, then by business keys. More than one candidate:
        ``item.fail(AmbiguousMatchError(...))`` naming them; never a guess.
        """

    def _apply(self, backend, items):
        """Create or update the Odoo records and set ``item.record`` on every item.

        :param list[Item] items: mapped and alive; ``item.record`` is set for updates.
        """
        raise NotImplementedError(f"{self._name}._apply")

    # === HOOKS - EXPORTING === #

    def _export_domain(self, backend):
        """Return the domain of the Odoo records this backend shall have; others are skipped."""
        return []

    def _export(self, backend, items):
        """Fill ``item.values`` with what the service shall have, reading only.

        :param list[Item] items: ``item.record`` is the Odoo record; ``item.external_id`` is empty
            when the service does not know it yet. Values have to have a JSON form: equal values
            end the operation without a call.
        """
        raise NotImplementedError(f"{self._name}._export")

    def _push(self, backend, items):
        """Send ``item.values`` of records that differ from what was last sent.

        Called in a transaction that only reads, and that keeps other flows away from the records:
        write nothing in Odoo here. Setting a state again has to be harmless; a creation is guarded
        by an intent: send ``item.idempotency_key`` or our own reference along with it, so that
        :meth:`_recover` can find it.

        Call ``item.mark_sent(external_id)`` as soon as each record is written there, so that an
        error or a limit met later repeats only the rest; ``item.fail(error)`` takes one out. Where
        the service answers with the record, ``item.payload`` may be set to it, and ``item.before``
        to what was read just before a change (both in the form of :meth:`_fetch`), so that the echo
        is recognised: of a creation, and of a change of what the import has seen.

        :raises IntegrationError: for all items that have not been sent; see ``lib/errors.py``.
        """
        raise NotImplementedError(f"{self._name}._push")

    def _note_sent(self, backend, items):
        """Store in Odoo what the service answered to :meth:`_push`; nothing by default.

        Called in the transaction that binds the records and ends their operations, after the
        bindings were written; it may run more than once, so it has to be repeatable. What a push
        only learns (ids of parts, confirmed quantities) it leaves in ``item.payload`` or
        ``item.values`` for this.

        :param list[Item] items: sent, with ``record`` and ``external_id``.
        """

    def _recover(self, backend, items):
        """Find out which creations happened whose answer was lost.

        Set ``item.external_id`` where the service has the record, found by ``idempotency_key`` or
        our own reference; leave it empty where it certainly has not.

        :raises NotReadyError: when that cannot be told yet.
        """
        raise NotImplementedError(f"{self._name}._recover")

    def _push_deletion(self, backend, items):
        """Tell the service that Odoo records were deleted; only with ``_resource_deletes``.

        :param list[Item] items: with ``external_id``; there is no record any more.
        """
        raise NotImplementedError(f"{self._name}._push_deletion")

    # === HOOKS - COMPARING === #

    def _count(self, backend):
        """Return how many records the service has for this backend, None when it does not tell."""
        return None

    def _list(self, backend, page):
        """List all records the service has for this backend, changed or not.

        Records are told apart by version or digest, so nothing more than that has to be read.
        A record that moves to another page meanwhile does no harm: what was not listed is fetched
        before it is called missing. Default: :meth:`_fetch_changes` since ever.

        :param page: what the previous page gave as ``next_page``; None for the first one.
        :returns: :class:`~..lib.records.ListPage`.
        :raises IntegrationError: see ``lib/errors.py``.
        """
        changes = self._fetch_changes(backend, None, page)
        return ListPage(
            [
                Snapshot(change.external_id, change.updated_at, label=change.label)
                for change in changes.changes
                if not change.deleted
            ],
            changes.next_page,
        )

    def _compare(self, backend, items):
        """Set ``item.differences``, reading only; without one both sides agree.

        Compare only what matters to the side that decides. An item whose ``differences`` stay None
        cannot be compared field by field: equal digests then mean that it is the same.

        Default: what the prepared values and the other side have in common, for values that are
        fields of the Odoo record (into Odoo) or keys of what :meth:`_fetch` gives (out of Odoo).

        :param list[Item] items: with ``record``, ``data``, ``payload`` and, in ``values``, what
            :meth:`_map` (into Odoo) or :meth:`_export` (out of Odoo, ``item.outgoing``) prepared.
        """
        for item in items:
            if item.outgoing:
                item.differences = self._differing_keys(item.values, item.payload)
            else:
                item.differences = self._differing_fields(item.record, item.values)

    @api.model
    def _differing_fields(self, record, values):
        """Return the :class:`~..lib.records.Difference` of each field that is not as in ``values``.

        :returns: None when ``values`` are not plain fields of ``record``.
        """
        if not values or not all(
            name in record._fields and record._fields[name].type not in UNCOMPARED
            for name in values
        ):
            return None
        found = []
        for name, value in values.items():
            field = record._fields[name]
            wanted = field.convert_to_record(field.convert_to_cache(value, record), record)
            if not self._same_value(record, field, record[name], wanted):
                found.append(
                    Difference(
                        field._description_string(self.env),
                        self._shown_value(record, field, record[name]),
                        self._shown_value(record, field, wanted),
                    )
                )
        return found

    @api.model
    def _same_value(self, record, field, value, wanted):
        if field.type == "monetary" and (currency := record[field.get_currency_field(record)]):
            return not currency.compare_amounts(value, wanted)
        if field.type == "float" and (digits := field.get_digits(self.env)):
            return not float_compare(value, wanted, precision_digits=digits[1])
        return (value or False) == (wanted or False)

    @api.model
    def _shown_value(self, record, field, value):
        if field.type in ("integer", "float", "monetary", "boolean"):
            return str(value)
        return str(field.convert_to_display_name(value, record) or "")

    @api.model
    def _differing_keys(self, values, payload):
        """Return the :class:`~..lib.records.Difference` of each key that is not as in ``values``.

        :returns: None when ``payload`` is not a dict that has all the keys.
        """
        if not isinstance(payload, dict) or not values or not values.keys() <= payload.keys():
            return None
        return [
            Difference(key, str(value), str(payload[key]))
            for key, value in values.items()
            if canonical_json(value) != canonical_json(payload[key])
        ]

    def _apply_deletion(self, backend, items):
        """Follow the deletion of records that the service no longer has.

        Default: archives the Odoo records whose model knows that, and leaves others alone with a
        note. Nothing is ever deleted: documents hang on these records.

        :param list[Item] items: with ``record``; say in ``item.notes`` what was done.
        """
        for item in items:
            if "active" not in item.record._fields:
                item.notes.append(
                    self.env._(
                        "%(record)s no longer exists in %(backend)s. It was left as it is in "
                        "Odoo: decide what becomes of it.",
                        record=item.label or item.record.display_name,
                        backend=backend.display_name,
                    )
                )
            elif item.record.active:
                item.record.active = False
                item.notes.append(
                    self.env._(
                        "%(record)s no longer exists in %(backend)s and was archived in Odoo.",
                        record=item.label or item.record.display_name,
                        backend=backend.display_name,
                    )
                )

    def _undo_deletion(self, backend, items):
        """Bring back the Odoo records of external records that exist again; they are written next.

        Default: the opposite of what :meth:`_apply_deletion` does.

        :param list[Item] items: with ``record``.
        """
        for item in items:
            if "active" in item.record._fields and not item.record.active:
                item.record.active = True
