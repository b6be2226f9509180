import logging
from datetime import UTC, timedelta

from odoo import fields, models

from ..lib.backoff import parse_http_date
from ..lib.errors import IntegrationError, NotReadyError
from ..lib.json_strict import loads_strict
from ..lib.records import Item
from .integration_engine import LeaseLost, concerns_all, halves

_logger = logging.getLogger(__name__)

#: How long a service may tell of a record before it shows it.
READ_LAG = timedelta(seconds=30)
#: How long after its time stamp a version has to be read to be the last one of that second.
READ_MARGIN = timedelta(seconds=3)
#: What our clock and that of a service that does not tell its time may differ by.
CLOCK_SKEW = timedelta(minutes=2)


class IntegrationImporter(models.AbstractModel):
    """Takes a batch of operations into Odoo: fetch, validate, map, match, apply, bind.

    Everything is read before the transaction that writes begins, and kept for all its tries.
    """

    _name = "integration.importer"
    _description = "Integration Importer"

    def _run(self, batch):
        """Work on the operations of a :class:`~.integration_engine.Batch`; settles all."""
        for items in self._fetch(batch, batch.operations):
            self._write(batch, items)

    # === READING === #

    def _fetch(self, batch, operations):
        """Fetch and validate; yields lists of items to write, settles what cannot be read.

        An error that nothing explains is narrowed down by fetching halves.
        """
        engine = self.env["integration.engine"]
        try:
            with engine._transaction(batch) as cr:
                flow, backend = engine._work_env(cr, batch.facts)
                items = self._fetch_items(batch, flow, backend, operations)
        except Exception as error:
            if len(operations) > 1 and not concerns_all(error):
                for part in halves(operations):
                    yield from self._fetch(batch, part)
                return
            self.env["integration.settlement"]._fail(batch, [(op, error) for op in operations])
            return
        yield items

    def _fetch_items(self, batch, flow, backend, operations):
        resource = flow._resource()
        items = [
            Item(op["id"], op["external_id"], op["label"] or "", forced=op["force"])
            for op in operations
        ]
        known = self._versions_read(flow, operations)
        for item in items:
            item.changed = item.operation_id not in known
        staged = flow.env["integration.staged.payload"]._take(operations)
        for op, item in zip(operations, items, strict=True):
            self._read_edited(backend, resource, op, item)
            if op["id"] in staged:
                self._read_staged(backend, resource, op, item, *staged[op["id"]])
        wanted = [i.external_id for i in items if i.alive and i.changed and i.payload is None]
        payloads, fetched_at = {}, None
        if wanted:
            calls = len(batch.exchanges)
            payloads = backend._with_renewed_auth(lambda: resource._fetch(backend, wanted))
            fetched_at = self._time_of_reading(batch.exchanges[calls:])
        for op, item in zip(operations, items, strict=True):
            if item.payload is not None:
                continue
            item.fetched_at = fetched_at
            if not item.changed or not item.alive:
                continue
            if op["external_id"] not in payloads:
                item.gone = self._missing(resource, backend, op, item)
                if isinstance(item.gone, NotReadyError):
                    item.fail(item.gone)
                continue
            payload = payloads[op["external_id"]]
            if isinstance(payload, IntegrationError):
                item.fail(payload)
                continue
            item.payload = payload
            self._validate(backend, resource, item)
        return items

    def _validate(self, backend, resource, item):
        try:
            item.data = resource._validate(backend, item.payload, item.label or item.external_id)
            item.updated_at = resource._updated_at(item.data)
            item.label = resource._label(item.data) or item.label
            item.digest = resource._digest(item.data)
        except Exception as error:
            item.fail(error)

    def _read_edited(self, backend, resource, operation, item):
        """Take what a person has typed in instead of asking the service.

        Unless a newer version was announced since: then the service is asked.
        """
        if not operation["edited_payload"] or not item.changed:
            return
        try:
            item.payload = loads_strict(
                operation["edited_payload"], what=self.env._("The edited data")
            )
        except IntegrationError as error:
            item.fail(error)
            return
        self._validate(backend, resource, item)
        announced = operation["external_updated_at"]
        if item.updated_at and announced and item.updated_at < announced:
            item.payload = item.data = item.error = item.updated_at = None
            operation["edited_payload"] = None
            return
        # who edited it meant this version: a listing that shows it again brings nothing new
        item.fetched_at = operation["edited_at"]

    def _read_staged(self, backend, resource, operation, item, payload, read_at):
        """Take what the listing of everything has brought along instead of asking the service.

        Unless something newer was announced since, or something of which nobody knows the version.
        """
        if item.payload is not None or not item.changed or not item.alive:
            return
        if isinstance(payload, IntegrationError):
            item.fail(payload)
            return
        item.payload, item.fetched_at, item.staged = payload, read_at, True
        self._validate(backend, resource, item)
        announced = operation["external_updated_at"]
        if item.updated_at and (not announced or item.updated_at < announced):
            item.payload = item.data = item.error = item.updated_at = item.fetched_at = None
            item.digest, item.staged = "", False

    def _missing(self, resource, backend, operation, item):
        """Return the error for a record that was not in the answer.

        Services tell of a record before all of their servers know it: what was announced just now
        is asked for once more.
        """
        age = fields.Datetime.now() - operation["create_date"]
        if operation["trigger"] != "manual" and not operation["deleted"] and age < READ_LAG:
            return NotReadyError(
                self.env._(
                    "%(record)s was announced, but %(backend)s does not show it yet.",
                    record=item.label or item.external_id,
                    backend=backend.display_name,
                ),
                retry_after=READ_LAG.total_seconds(),
            )
        return resource._missing_on_fetch(backend, item.external_id, item.label)

    def _versions_read(self, flow, operations):
        """Return the ids of operations about a version that was read after its time was over.

        Several notifications of one change cost one fetch. Services give whole seconds: what was
        read within the second of the change may lack a second change.
        """
        asked = {
            op["external_id"]: op
            for op in operations
            if op["external_updated_at"] and not op["force"] and not op["deleted"]
        }
        if not asked:
            return set()
        bindings = flow.env["integration.binding"]._search_external(
            flow.backend_id, flow.resource, list(asked)
        )
        return {
            asked[binding.external_id]["id"]
            for binding in bindings
            if binding.external_updated_at
            and binding.fetched_at
            and asked[binding.external_id]["external_updated_at"] <= binding.external_updated_at
            and binding.fetched_at > binding.external_updated_at + READ_MARGIN
        }

    def _time_of_reading(self, exchanges):
        """Return since when the answers are true, by the clock of the service (naive UTC).

        That clock also writes the time stamps of the records. Where the service does not tell its
        time, ours is taken, less what two clocks may differ by.
        """
        times = []
        for _backend_id, _company_id, exchange in exchanges:
            headers = {key.lower(): value for key, value in exchange.response_headers.items()}
            said = parse_http_date(headers.get("date"))
            if said is None:
                return fields.Datetime.now() - CLOCK_SKEW
            said = said.astimezone(UTC).replace(tzinfo=None) if said.tzinfo else said
            times.append(said - timedelta(milliseconds=exchange.duration_ms))
        return min(times, default=fields.Datetime.now() - CLOCK_SKEW)

    # === WRITING === #

    def _write(self, batch, items):
        """Write fetched items; halve the batch on an error until the guilty one stands alone."""
        settlement = self.env["integration.settlement"]
        settlement._fail_items(batch, [item for item in items if not item.alive])
        self._write_part(batch, [item for item in items if item.alive])

    def _write_part(self, batch, items):
        if not items:
            return
        settlement = self.env["integration.settlement"]

        def work():
            for item in items:
                item.restart()
            self._work(batch, items)

        try:
            self.env["integration.engine"]._with_tries(work, batch)
        except LeaseLost:
            _logger.warning("flow %s: the lease of batch %s was lost", batch.flow_id, batch.token)
            # the rest of the batch is still ours, and would be taken for crashed
            settlement._postpone(batch, [batch.by_id[item.operation_id] for item in items], 2)
            return
        except Exception as error:
            if len(items) > 1 and not concerns_all(error):
                for part in halves(items):
                    self._write_part(batch, part)
                return
            settlement._fail(batch, [(batch.by_id[i.operation_id], error, i) for i in items])
            return
        settlement._fail_items(batch, [item for item in items if not item.alive])
        settlement._note_seen(batch, items)

    def _work(self, batch, items):
        """Map, match, apply and bind in one transaction, together with the state ``done``."""
        registry = self.env.registry
        engine = self.env["integration.engine"]
        try:
            with engine._transaction(batch) as cr:
                flow, backend = engine._work_env(cr, batch.facts)
                engine._lock_records(cr, backend, flow.resource, [i.external_id for i in items])
                bindings = self._attach(flow, backend, items)
                for hook, concerned in (
                    ("_map", lambda item: True),
                    ("_find_existing", lambda item: not item.bound),
                    ("_apply", lambda item: True),
                ):
                    todo = [i for i in items if i.alive and i.changed and concerned(i)]
                    for item in todo:
                        item.is_new = item.record is None
                    if todo:
                        with backend._working(todo) as own:
                            getattr(own._resource(flow.resource), hook)(own, todo)
                written = [i for i in items if i.alive]
                self._bind(flow, backend, bindings, written)
                flow.env.flush_all()
                self.env["integration.settlement"]._finish(cr, batch, written)
                staged = [item.operation_id for item in written if item.staged]
                if staged:
                    flow.env["integration.staged.payload"]._drop(cr, staged)
        except Exception:
            registry.reset_changes()
            raise
        registry.signal_changes()

    def _attach(self, flow, backend, items):
        """Set the bound record of each item, and take out what is unchanged or older than known.

        Records that are gone are followed here, those that came back revived.

        :returns: ``{external_id: binding}``.
        """
        Binding = flow.env["integration.binding"]
        bindings = {
            binding.external_id: binding
            for binding in Binding._search_external(
                backend, flow.resource, [item.external_id for item in items]
            )
        }
        records = Binding.union(*bindings.values())._existing_records()
        for item in items:
            binding = bindings.get(item.external_id)
            if not binding:
                if item.gone:
                    item.fail(item.gone)
                continue
            item.record = records.get(item.external_id)
            if item.record is None:
                binding.unlink()
                del bindings[item.external_id]
                if not item.changed:
                    message = self.env._("Its record was deleted in Odoo; it is read again.")
                    item.fail(item.gone or NotReadyError(message, retry_after=0))
                continue
            item.bound = True
            if item.gone or not item.changed:
                continue
            known = binding.external_updated_at
            if item.updated_at and known and item.updated_at < known:
                item.skip(self.env._("A newer version (of %s UTC) is already in Odoo.", known))
            elif binding.import_digest == item.digest and not item.forced:
                item.changed = False
        Binding._follow_deletions(flow, [item for item in items if item.alive and item.gone])
        Binding._undo_deletions(
            flow, [i for i in items if i.alive and i.bound and i.payload is not None], bindings
        )
        return bindings

    def _bind(self, flow, backend, bindings, items):
        """Link new records, and remember what was read."""
        Binding = flow.env["integration.binding"]
        new = {i.external_id: i.record for i in items if i.external_id not in bindings and i.record}
        labels = {item.external_id: item.label for item in items}
        for binding in Binding._bind(backend, flow.resource, new, labels):
            bindings[binding.external_id] = binding
        for item in items:
            binding = bindings.get(item.external_id)
            if binding and item.digest:
                values = {
                    "import_digest": item.digest,
                    "external_updated_at": item.updated_at,
                    "fetched_at": item.fetched_at,
                }
                if item.changed:
                    # the write date of what it has written, so that a comparison takes later
                    # ones for edits
                    values["imported_at"] = flow.env.cr.now()
                binding.write(values)
        written = [item for item in items if item.changed]
        for item in written:
            if item.record:
                flow.env["integration.outbox"]._note_imported(flow, item.record)
        self.env["integration.exporter"]._remember_imported(flow, bindings, written)
