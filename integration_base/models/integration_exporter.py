import logging
import traceback

from odoo import fields, models
from odoo.tools import SQL

from ..lib.digest import digest
from ..lib.errors import ConfigurationError, NotReadyError, RetryableError
from ..lib.intents import outcome_of
from ..lib.records import Item
from .integration_engine import LeaseLost, concerns_all, halves

_logger = logging.getLogger(__name__)


class IntegrationExporter(models.AbstractModel):
    """Takes a batch of operations out of Odoo: read, compare with what was sent, send, bind.

    What the service shall have is read when it is sent, so an operation always sends the newest
    state. Creations are announced before and settled after (``integration.intent``): whatever
    happens in between, a record is created once.
    """

    _name = "integration.exporter"
    _description = "Integration Exporter"

    def _run(self, batch):
        """Work on the operations of a :class:`~.integration_engine.Batch`; settles all."""
        self._run_part(batch, batch.operations)

    def _run_part(self, batch, operations):
        """Send a part of the batch; an error that nothing explains is narrowed down by halves.

        What was sent before an error is sent, and not repeated.
        """
        items, problem = [], None
        try:
            with self.env.registry.cursor() as cr:
                flow, backend = self.env["integration.engine"]._work_env(cr, batch.facts)
                items = self._items(flow, backend, operations)
                self._read(cr, flow, backend, items)
                self._send(batch, flow, backend, items)
        except Exception as error:
            problem = error
        settlement = self.env["integration.settlement"]
        self._conclude(batch, [item for item in items if item.alive and item.sent])
        settlement._fail_items(batch, [item for item in items if not item.alive])
        if problem is None:
            return
        settled = {item.operation_id for item in items if item.sent or not item.alive}
        rest = [operation for operation in operations if operation["id"] not in settled]
        if len(rest) == 1 or concerns_all(problem):
            settlement._fail(batch, [(operation, problem) for operation in rest])
            return
        lost = self._lost_creations(items, problem)
        self._try_apart(
            batch, [operation for operation in rest if operation["id"] in lost], problem
        )
        rest = [operation for operation in rest if operation["id"] not in lost]
        for part in halves(rest):
            if part:
                self._run_part(batch, part)

    def _lost_creations(self, items, problem):
        """Return the ids of operations that may have created something, as far as we know."""
        if outcome_of(problem) != "unknown":
            return set()
        return {item.operation_id for item in items if item.announced and not item.sent}

    def _try_apart(self, batch, operations, problem):
        """Let creations wait until it is known what became of them, then try fewer together.

        Sending halves at once, as for everything else, would be in vain: they have to wait.
        """
        error = RetryableError(
            self.env._(
                "An error nobody expected, in this record or in one sent together with it: "
                "%(error)s. What the service has is looked up, and fewer are sent together.",
                error=f"{type(problem).__name__}: {problem}",
            ),
            detail="".join(traceback.format_exception(problem)),
        )
        self.env["integration.settlement"]._fail(
            batch, [(operation, error) for operation in operations]
        )

    # === READING === #

    def _items(self, flow, backend, operations):
        """Return the items of the operations, with their records and what is known outside."""
        Model = flow.env[flow._resource()._resource_model].with_context(active_test=False)
        records = Model.browse(op["res_id"] for op in operations).exists()
        bindings = flow.env["integration.binding"]._search_records(backend, flow.resource, records)
        known = {binding.res_id: binding for binding in bindings}
        by_id = {record.id: record.with_context(active_test=True) for record in records}
        items = []
        for operation in operations:
            record = by_id.get(operation["res_id"])
            binding = known.get(operation["res_id"])
            item = Item(
                operation["id"],
                operation["external_id"] or "",
                label=operation["label"] or "",
                forced=operation["force"],
                record=record,
            )
            if binding and not binding.deleted_at:
                item.external_id, item.bound = binding.external_id, True
                item.known_digest = binding.export_digest or ""
            if record:
                item.label = record.display_name or item.label
            items.append(item)
        return items

    def _read(self, cr, flow, backend, items):
        """Fill in what the service shall have, and find out what of it is new."""
        resource = flow._resource()
        existing = [item for item in items if item.record]
        for item in items:
            if item.record:
                continue
            if not (item.external_id and resource._resource_deletes):
                item.skip(self.env._("The record was deleted in Odoo."))
        records = flow.env[resource._resource_model].union(*(item.record for item in existing))
        wanted = records.filtered_domain(resource._export_domain(backend))
        for item in existing:
            if item.record not in wanted:
                item.skip(
                    self.env._(
                        "%(record)s is not meant for %(backend)s.",
                        record=item.label,
                        backend=backend.display_name,
                    )
                )
        alive = [item for item in existing if item.alive]
        self.env["integration.engine"]._lock_records(
            cr, backend, flow.resource, [i.external_id for i in items if i.alive and i.external_id]
        )
        if alive:
            with backend._working(alive) as own:
                own._resource(flow.resource)._export(own, alive)
        for item in alive:
            if item.alive:
                item.digest = digest(item.values)
                item.changed = item.forced or not item.bound or item.digest != item.known_digest
                item.sent = not item.changed

    # === SENDING === #

    def _send(self, batch, flow, backend, items):
        resource = flow._resource()
        todo = [item for item in items if item.alive and not item.sent]
        gone = [item for item in todo if not item.record]
        if gone:
            backend._with_renewed_auth(lambda: resource._push_deletion(backend, gone))
            for item in gone:
                item.mark_sent()
        todo = [item for item in todo if item.record]
        if not todo:
            return
        creations = [item for item in todo if not item.external_id]
        if not resource._resource_unrepeatable:
            creations = []
        Intent = self.env["integration.intent"]
        lost = Intent._begin(batch.ctl, backend, flow.resource, creations, batch.token)
        problem = None
        try:
            Intent._recover(batch.ctl, backend, flow.resource, lost, batch.token)
            todo = [item for item in todo if item.alive]
            if todo:
                backend._with_renewed_auth(
                    lambda: resource._push(backend, [i for i in todo if i.alive and not i.sent])
                )
            for item in todo:
                if item.alive and not item.external_id:
                    raise TypeError(f"{resource._name}._push gave no external id to {item.record}")
                if item.alive:
                    item.mark_sent()
        except Exception as error:
            problem = error
            raise
        finally:
            Intent._settle(batch.ctl, creations, problem)

    # === AFTERWARDS === #

    def _conclude(self, batch, items):
        """Bind what was created, remember what was sent, and mark it done."""
        if not items:
            return

        def work():
            with self.env.registry.cursor() as cr:
                flow, backend = self.env["integration.engine"]._work_env(cr, batch.facts)
                self._bind(flow, backend, items)
                flow.env.flush_all()
                self.env["integration.settlement"]._finish(cr, batch, items)

        try:
            self.env["integration.engine"]._with_tries(work)
        except LeaseLost:
            # whoever took over finds the creations among the intents
            _logger.warning("flow %s: the lease of batch %s was lost", batch.flow_id, batch.token)
            operations = [batch.by_id[item.operation_id] for item in items]
            self.env["integration.settlement"]._postpone(batch, operations, 2)
        except Exception as error:
            self.env["integration.settlement"]._fail(
                batch, [(batch.by_id[item.operation_id], error, item) for item in items]
            )

    def _bind(self, flow, backend, items):
        Binding = flow.env["integration.binding"]
        changed = [item for item in items if item.changed and item.record]
        records = flow.env[flow._resource()._resource_model].browse(i.record.id for i in changed)
        known = {
            binding.res_id: binding
            for binding in Binding._search_records(backend, flow.resource, records)
        }
        new = {item.external_id: item.record for item in changed if item.record.id not in known}
        labels = {item.external_id: item.label for item in changed}
        for binding in Binding._bind(backend, flow.resource, new, labels):
            known[binding.res_id] = binding
        for item in changed:
            values = {"export_digest": item.digest, "deleted_at": False}
            binding = known[item.record.id]
            values.update(self._echo(flow, backend, item, binding, item.external_id in new))
            if binding.external_id != item.external_id:
                values["external_id"] = item.external_id
            binding.write(values)
        if changed:
            with backend._working(changed) as own:
                own._resource(flow.resource)._note_sent(own, changed)

    def _echo(self, flow, backend, item, binding, is_new):
        """Return the binding's values that let the import recognise what we wrote ourselves.

        Empty where the answer may also have what somebody changed there and the import has not seen
        yet: then the import reads it.
        """
        if item.payload is None or flow._resource()._resource_direction != "both":
            return {}
        resource = flow._resource()
        try:
            if item.before is not None:
                before = resource._validate(backend, item.before, item.label)
                is_known = resource._digest(before) == binding.import_digest
            else:
                is_known = is_new
            if not is_known:
                return {}
            data = resource._validate(backend, item.payload, item.label)
            return {
                "import_digest": resource._digest(data),
                "external_updated_at": resource._updated_at(data),
                "fetched_at": fields.Datetime.now(),
            }
        except Exception:
            # it was written; the import will say what is wrong with it
            _logger.warning("The answer about %s cannot be read", item.label, exc_info=True)
            return {}

    # === IMPORTED RECORDS === #

    def _remember_imported(self, flow, bindings, items):
        """Remember what the service has after an import, so that it is not sent back.

        Called in the import's transaction, after it has written. Left out are records with a
        change that waits to be sent: the service does not have that yet.

        :param dict bindings: ``{external_id: binding}``.
        :param list[Item] items: the items that were written.
        """
        resource = flow._resource()
        items = [item for item in items if item.record and item.external_id in bindings]
        if resource._resource_direction != "both" or not items:
            return
        out = flow.backend_id.flow_ids.filtered(
            lambda other: (
                other.resource == flow.resource and other.direction == "out" and other.enabled
            )
        )
        if not out:
            # nothing is sent, so nothing has to be known of it: a first load is not to pay for that
            return
        unsent = self._unsent(out, [item.record.id for item in items])
        items = [
            item
            for item in items
            if item.record.id not in unsent and (resource._resource_imports_exported or item.is_new)
        ]
        if not items:
            return
        copies = [
            Item(item.operation_id, item.external_id, item.label, record=item.record)
            for item in items
        ]
        try:
            with flow.backend_id._working(copies) as own:
                own._resource(flow.resource)._export(own, copies)
        except (NotReadyError, ConfigurationError):
            # what keeps records from being sent does not keep them from being read
            return
        for copy in copies:
            if copy.alive:
                bindings[copy.external_id].export_digest = digest(copy.values)

    def _unsent(self, flow, ids):
        """Return those of the record ids that have a change on its way.

        The outbox writes such an operation in the transaction of the change: whoever sees the
        change sees the operation too.
        """
        flow.env["integration.sync.log"].flush_model()
        flow.env.cr.execute(
            SQL(
                "SELECT DISTINCT res_id FROM integration_sync_log"
                " WHERE flow_id = %s AND key = ANY(%s) AND state IN ('pending', 'running')",
                flow.id,
                [str(id_) for id_ in ids],
            )
        )
        return {row[0] for row in flow.env.cr.fetchall()}
