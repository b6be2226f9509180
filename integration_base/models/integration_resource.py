from datetime import datetime

from odoo import models

from ..lib import contract
from ..lib.digest import digest
from ..lib.errors import SkipRecord


class IntegrationResource(models.AbstractModel):
    """Behaviour of one kind of record. Inherit it as ``integration.<connector>.<resource>``.

    The engine runs a batch of operations through ``_fetch`` and ``_validate`` (outside of any
    database transaction) and then, in one transaction, ``_map``, ``_find_existing``, ``_apply``.
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
    #: :class:`~..lib.records.Watch`: changes in Odoo that have to be exported.
    _resource_watches: tuple = ()
    #: Which changed records are exported: ``bound`` (those the backend knows) or ``all``.
    _resource_export_scope = "bound"
    #: Whether deleting the Odoo record has to reach the service.
    _resource_deletes = False
    #: pydantic model (``lib.contract.Payload``) of what :meth:`_fetch` returns per record.
    _resource_contract = None
    #: Top-level fields of the contract that change without meaning anything for us.
    _resource_digest_exclude: frozenset[str] = frozenset()
    #: Records per batch: one fetch, one transaction.
    _resource_batch_size = 50
    #: Minutes between two listings of changes; 0 for none.
    _resource_interval_minutes = 5

    # === HOOKS - READING === #

    def _fetch(self, backend, external_ids):
        """Read records from the external system.

        :param list[str] external_ids: at most the batch size of the flow.
        :returns: ``{external_id: payload}``; an id that no longer exists is left out.
        :raises IntegrationError: for the whole batch; see ``lib/errors.py``.
        """
        raise NotImplementedError(f"{self._name}._fetch")

    def _fetch_changes(self, backend, since, page):
        """List what changed, oldest first where the service can sort.

        :param datetime since: naive UTC; the overlap is already taken off. None means everything.
        :param page: what the previous page gave as ``next_page``; None for the first one.
        :returns: :class:`~..lib.records.ChangePage`.
        """
        raise NotImplementedError(f"{self._name}._fetch_changes")

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

        Called outside of any transaction. Setting a state again has to be harmless; a creation is
        guarded by an intent: send ``item.idempotency_key`` or our own reference along with it, so
        that :meth:`_recover` can find it.

        Set ``item.external_id`` as soon as each record is created; ``item.fail(error)`` takes one
        out. Where the service answers with the record, ``item.payload`` may be set to it (in the
        form of :meth:`_fetch`), so that its echo is recognised.

        :raises IntegrationError: for all items that have not been sent; see ``lib/errors.py``.
        """
        raise NotImplementedError(f"{self._name}._push")

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
