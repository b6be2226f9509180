import logging
from collections import defaultdict
from dataclasses import dataclass, replace
from weakref import WeakKeyDictionary

from odoo import SUPERUSER_ID, api, models
from odoo.tools import SQL, ormcache

from .integration_sync_log import LIVE_PRIORITY

_logger = logging.getLogger(__name__)

#: Keys of what a cursor collects until its hooks run.
NOTED = "integration.outbox.noted"
WAKE_LATER = "integration.outbox.wake_later"
#: Key of the incidents about watches that cannot be evaluated.
BROKEN_KEY = "watches"

#: ``{cursor: {(backend id, resource, model): ids}}`` of what the cursor imports. Not in
#: ``cr.cache``, which a rollback to a savepoint empties.
_imported: WeakKeyDictionary = WeakKeyDictionary()


@dataclass(frozen=True)
class Watched:
    """A ``Watch`` as it is evaluated: of which changed records which are exported, by whom.

    :param model: the model whose records change.
    :param table: its table.
    :param fields: its fields, the first many2one of the path included.
    :param indirect: those of them that are not columns.
    :param hops: the path as joins ``(table, column of the table before, own column)``.
    :param res_model: the exported model.
    :param has_company: whether the exported records belong to a company.
    :param export_all: whether records without a binding are exported as well.
    :param deletes: whether this is about the deletion of records of the exported model.
    :param flow_ids: the flows that export them.
    """

    model: str
    table: str
    fields: frozenset[str]
    indirect: frozenset[str]
    hops: tuple[tuple[str, str, str], ...]
    res_model: str
    has_company: bool
    export_all: bool
    deletes: bool = False
    flow_ids: tuple[int, ...] = ()

    @property
    def moved_by(self):
        """The field that leads to the exported record: its old value is concerned as well."""
        return self.hops[0][1] if self.hops and self.hops[0][1] != "id" else None


class IntegrationOutbox(models.AbstractModel):
    """Turns changes of watched fields into operations, in the transaction of the change.

    Nothing but ids is collected while records change; one statement writes the operations of all
    flows when the transaction is flushed: before its commit, and before each savepoint. So a
    change and its operation are committed or rolled back together, also to a savepoint.

    * *One statement per flush*, whatever number of records, watches and flows. Two cases need one
      more, because afterwards it could not be told any more: a record that leaves the exported
      record it belonged to (its many2one of the path changes), and a deletion.
    * *Coalescing*: a record changed again gets another row, never an update of the first one
      (which may be on its way), and the claim merges them. Rows are due when the flow's time to
      collect changes is over, counted from the first change: the claim takes the later ones with
      it, due or not. So later changes never prolong the wait.
    * *Failing*: the statement fails together with the transaction of the user (fail closed). It
      contains only ids, and nothing is lost. A conflict is a serialization error, which Odoo
      itself tries again. A watch that cannot be evaluated, because its field is gone, say, stops
      nobody from saving: it is left out, and an incident of its flow says so.
    * *What it cannot see*: rows changed by SQL (call :meth:`_note_changed`) or deleted by
      ``ON DELETE CASCADE``, and changes while modules are loaded that this one depends on. The
      comparison of both sides finds those.
    """

    _name = "integration.outbox"
    _description = "Integration Outbox"

    # === NOTING === #

    @api.model
    def _note_written(self, records, vals_list):
        """Note stored values about to be written; called by the ORM's ``_write_multi``."""
        watches = self._watches(records._name)
        if not watches:
            return
        groups = defaultdict(list)
        for record_id, values in zip(records._ids, vals_list, strict=True):
            groups[frozenset(values)].append(record_id)
        moved = defaultdict(set)
        for names, ids in groups.items():
            for watched in watches:
                if watched.fields & names:
                    self._note(watched, ids)
                if watched.moved_by in names:
                    moved[watched].update(ids)
        if moved:
            self._append_now(moved)

    @api.model
    def _note_created(self, records):
        """Note new records; called by the ORM's ``_create``."""
        for watched in self._watches(records._name):
            # a new record is exported itself only where no binding is needed
            if watched.fields and (watched.hops or watched.export_all):
                self._note(watched, records._ids)

    @api.model
    def _note_modified(self, records, names):
        """Note changes that no column shows; called by the ORM's ``modified``."""
        for watched in self._watches(records._name):
            if not watched.indirect.isdisjoint(names):
                self._note(watched, [id_ for id_ in records._ids if id_])

    @api.model
    def _note_unlinked(self, records):
        """Append what a deletion means, while the records can still be read."""
        concerned = {
            watched: records._ids
            for watched in self._watches(records._name)
            if records and (watched.deletes or watched.hops)
        }
        if concerned:
            self._append_now(concerned)

    @api.model
    def _note_changed(self, model_name, ids, names=None):
        """Note records changed by SQL, which the ORM does not see.

        Call it after the statement. Nothing happens when nobody watches the model.

        :param ids: of the changed records; for deleted ones call it with their parents instead.
        :param names: the fields changed; None for all that are watched.
        """
        for watched in self._watches(model_name):
            if watched.fields and (names is None or not watched.fields.isdisjoint(names)):
                self._note(watched, ids)

    @api.model
    def _note_imported(self, flow, records):
        """Export nothing of these records to the backend they are being imported from.

        It holds for the present cursor, for this resource of this backend only: other records
        that the import changes, other resources and other backends get their export.

        :param flow: the flow that imports.
        """
        marks = _imported.setdefault(self.env.cr, {})
        key = (flow.backend_id.id, flow.resource, records._name)
        marks.setdefault(key, set()).update(records.ids)

    def _note(self, watched, ids):
        data = self.env.cr.precommit.data
        if NOTED not in data:
            data[NOTED] = {}
            self.env.cr.precommit.add(self._append_noted)
        data[NOTED].setdefault(watched, set()).update(ids)

    # === APPENDING === #

    def _append_noted(self):
        noted = self.env.cr.precommit.data.pop(NOTED, None)
        if noted:
            self._append(noted)

    def _append_now(self, concerned):
        self.env["integration.binding"].flush_model()
        self._append(concerned)

    def _append(self, concerned):
        """Write the operations of changed records, by one INSERT for all flows.

        :param dict concerned: ``{Watched: ids of changed records}``.
        """
        self.env.cr.execute(
            SQL(
                """
                WITH appended AS (
                    INSERT INTO integration_sync_log
                           (flow_id, backend_id, company_id, resource, kind, key, external_id,
                            label, deleted, res_model, res_id, "trigger", priority, state, force,
                            attempts, crashes, next_attempt_at, create_date, create_uid)
                    SELECT f.id, f.backend_id, f.company_id, f.resource, 'record', c.res_id::text,
                           b.external_id, b.external_label, c.deleted, c.res_model, c.res_id,
                           'change', %(priority)s, 'pending', false, 0, 0,
                           (clock_timestamp()
                            + COALESCE(f.debounce_seconds, 0) * interval '1 second')
                           AT TIME ZONE 'UTC',
                           clock_timestamp() AT TIME ZONE 'UTC', %(uid)s
                      FROM (%(changed)s) AS c
                      JOIN integration_flow f ON f.id = c.flow_id
                      JOIN integration_backend k ON k.id = f.backend_id
                      JOIN res_company o ON o.id = f.company_id
                      LEFT JOIN integration_binding b
                             ON b.backend_id = f.backend_id AND b.resource = f.resource
                                AND b.res_model = c.res_model AND b.res_id = c.res_id
                     WHERE %(open)s AND b.deleted_at IS NULL
                       AND (b.id IS NOT NULL
                            OR c.export_all
                               AND (c.company_id IS NULL
                                    OR c.company_id::text
                                       = ANY(string_to_array(o.parent_path, '/'))))
                       AND NOT %(imported)s
                     ORDER BY f.id, c.res_id
                 RETURNING flow_id
                )
                SELECT f.id, f.debounce_seconds FROM integration_flow f
                 WHERE f.id IN (SELECT flow_id FROM appended)
                """,
                priority=LIVE_PRIORITY,
                uid=self.env.uid,
                changed=SQL(" UNION ").join(
                    self._changed(watched, ids) for watched, ids in concerned.items()
                ),
                open=self._open_flow(),
                imported=self._is_imported(),
            )
        )
        self._wake_after_commit(dict(self.env.cr.fetchall()))

    def _changed(self, watched, ids):
        """Return the query of the records that ``watched`` exports because of changed ``ids``."""
        source = SQL("%s AS t0", SQL.identifier(watched.table))
        for number, (table, left, right) in enumerate(watched.hops):
            source = SQL(
                "%s JOIN %s AS %s ON %s = %s",
                source,
                SQL.identifier(table),
                SQL.identifier(f"t{number + 1}"),
                SQL.identifier(f"t{number + 1}", right),
                SQL.identifier(f"t{number}", left),
            )
        last = f"t{len(watched.hops)}"
        return SQL(
            "SELECT u.flow_id, %s::text AS res_model, %s AS res_id, %s AS company_id,"
            " %s AS export_all, %s AS deleted"
            " FROM %s CROSS JOIN unnest(%s) AS u(flow_id) WHERE t0.id = ANY(%s)",
            watched.res_model,
            SQL.identifier(last, "id"),
            SQL.identifier(last, "company_id") if watched.has_company else SQL("NULL::int"),
            # a record that nobody outside knows need not be deleted there
            watched.export_all and not watched.deletes,
            watched.deletes,
            source,
            list(watched.flow_ids),
            sorted(ids),
        )

    def _is_imported(self):
        """Return the condition for a record that this cursor imports from the same backend."""
        marks = _imported.get(self.env.cr, {})
        return SQL(
            "(%s)",
            SQL(" OR ").join(
                [
                    SQL("false"),
                    *(
                        SQL(
                            "(f.backend_id, f.resource, c.res_model) = %s AND c.res_id = ANY(%s)",
                            key,
                            sorted(ids),
                        )
                        for key, ids in marks.items()
                    ),
                ]
            ),
        )

    # === WAKING === #

    def _wake_after_commit(self, flows):
        """Have the flows drained once the transaction is committed and the changes are due.

        :param dict flows: ``{flow id: seconds it collects changes}``.
        """
        at_once = [flow_id for flow_id, seconds in flows.items() if not seconds]
        if at_once:
            self.env["integration.engine"]._wake_after_commit(at_once)
        later = {flow_id: seconds for flow_id, seconds in flows.items() if seconds}
        if not later:
            return
        postcommit = self.env.cr.postcommit
        if WAKE_LATER not in postcommit.data:
            waiting = postcommit.data[WAKE_LATER] = {}
            registry = self.env.registry

            @postcommit.add
            def wake():
                try:
                    with registry.cursor() as cr:
                        # superuser: jobs are the engine's, whoever changed the record
                        api.Environment(cr, SUPERUSER_ID, {})[self._name]._wake_later(waiting)
                except Exception:
                    # the user's work is committed and must not look failed; the watchdog finds
                    # the operations when they are due
                    _logger.exception("Waking flows %s", sorted(waiting))

        postcommit.data[WAKE_LATER].update(later)

    @api.model
    def _wake_later(self, flows):
        """Enqueue a drain of each flow for when its changes are collected.

        :param dict flows: ``{flow id: seconds}``.
        """
        for flow_id, seconds in sorted(flows.items()):
            self.env["integration.engine"]._wake([flow_id], seconds)

    # === WHAT IS WATCHED === #

    @api.model
    def _watches(self, model_name):
        """Return what is watched of a model, a tuple of :class:`Watched`; usually none."""
        # our own records are what the index is made of, and are written while modules are loaded
        if model_name.startswith("integration.") or not self._is_loaded():
            return ()
        return self._index()[0].get(model_name, ())

    def _is_loaded(self):
        return "integration_base" in self.pool._init_modules

    @ormcache(cache="stable")
    def _index(self):
        """Return what all flows watch, and the watches that cannot be evaluated.

        :returns: ``({model: (Watched, ...)}, {flow id: reason})``.
        """
        self.env["integration.backend"].flush_model()
        self.env["integration.flow"].flush_model()
        self.env.cr.execute(
            SQL(
                "SELECT 'integration.' || k.connector || '.' || f.resource, array_agg(f.id)"
                "  FROM integration_flow f JOIN integration_backend k ON k.id = f.backend_id"
                " WHERE f.direction = 'out' AND %s GROUP BY 1 ORDER BY 1",
                self._open_flow(),
            )
        )
        index, broken = defaultdict(list), {}
        for name, flow_ids in self.env.cr.fetchall():
            if name not in self.env:
                continue  # the connector is not installed, or not loaded yet
            resolved, reasons = self._resolve_all(self.env[name])
            for watched in resolved:
                index[watched.model].append(replace(watched, flow_ids=tuple(sorted(flow_ids))))
            if reasons:
                broken.update(dict.fromkeys(flow_ids, "\n".join(reasons)))
        return {model: tuple(watches) for model, watches in index.items()}, broken

    def _open_flow(self):
        """Return the condition for a flow ``f`` of backend ``k`` that collects changes.

        Those of a paused backend wait for it; one that was never connected has no counterpart.
        """
        return SQL("f.enabled AND k.active AND k.state <> 'draft'")

    @api.model
    def _forget_index(self):
        """Have the index made anew; called where flows or backends change."""
        self.env.registry.clear_cache("stable")

    def _resolve_all(self, resource):
        """Return what a resource watches, and the reasons why some of it cannot be watched."""
        resolved, reasons = [], []
        for watch in resource._resource_watches:
            try:
                resolved += self._resolve(resource, watch)
            except Exception as error:
                # whatever it is, people have to be able to save
                _logger.error("Changes in Odoo are not exported: %s", error, exc_info=True)
                reasons.append(str(error) or type(error).__name__)
        if resource._resource_deletes and resource._resource_model in self.env:
            resolved.append(self._watched(resource, resource._resource_model, (), deletes=True))
        return resolved, reasons

    @api.model
    def _report_broken(self):
        """Keep an incident for each flow with a watch that cannot be evaluated."""
        broken = self._index()[1]
        Incident = self.env["integration.incident"]
        for incident in Incident.search(
            [("kind", "=", "watchdog"), ("key", "=", BROKEN_KEY), ("state", "=", "open")]
        ):
            if incident.flow_id.id not in broken:
                incident._close(self.env._("All watched fields are there again."))
        for flow in self.env["integration.flow"].browse(broken).exists():
            message = self.env._(
                "Changes in Odoo are not exported, because the connector watches what is not "
                "there: %s",
                broken[flow.id],
            )
            Incident._raise("watchdog", flow.backend_id, BROKEN_KEY, message, flow)

    @api.model
    def _resolve(self, resource, watch):
        """Return what a :class:`~..lib.records.Watch` of a resource amounts to.

        A field inherited from another model by delegation (``_inherits``), like the name of a
        product variant, is watched there.

        :returns: list of :class:`Watched` without flows.
        :raises ValueError: for a watch that cannot be evaluated, with the reason.
        """
        if watch.model not in self.env:
            raise ValueError(f"{resource._name} watches the unknown model {watch.model}")
        model = self.env[watch.model]
        hops = []
        target = model
        for name in filter(None, watch.path.split(".")):
            hop, target = self._hop(resource, target, name)
            hops.append(hop)
        if target._name != resource._resource_model:
            raise ValueError(
                f"{resource._name} exports {resource._resource_model}, but the path "
                f"{watch.path!r} of its watch of {watch.model} leads to {target._name}"
            )
        return self._resolve_fields(resource, model, watch.fields, tuple(hops))

    def _resolve_fields(self, resource, model, names, hops):
        own, delegated = set(), defaultdict(set)
        for name in names:
            field = model._fields.get(name)
            if field is not None and field.inherited:
                link, _dot, parent_name = field.related.partition(".")
                delegated[link].add(parent_name)
                continue
            if field is None or not self._is_watchable(field):
                raise ValueError(
                    f"{resource._name} watches {model._name}.{name}, which is not stored there. "
                    "Watch the stored fields it is made of; for lines, their model with a path."
                )
            own.add(name)
        resolved = [self._watched(resource, model._name, hops, own)] if own else []
        for link, parent_names in delegated.items():
            parent = self.env[model._fields[link].comodel_name]
            back = ((model._table, "id", link), *hops)
            resolved += self._resolve_fields(resource, parent, parent_names, back)
        return resolved

    @api.model
    def _is_watchable(self, field):
        """Return whether changes of a field are seen where it is stored."""
        field = field.base_field
        return (
            field.store
            and field.type != "one2many"
            and bool(field.column_type or not field.compute)
        )

    def _hop(self, resource, model, name):
        """Return a step of a path as ``(table, column of model, own column)``, and its model."""
        field = model._fields.get(name)
        if field is not None and field.store and not field.company_dependent:
            comodel = self.env[field.comodel_name] if field.relational else None
            if field.type == "many2one":
                return (comodel._table, name, "id"), comodel
            if field.type == "one2many" and comodel._fields[field.inverse_name].column_type:
                return (comodel._table, "id", field.inverse_name), comodel
        raise ValueError(
            f"{resource._name} has a path over {model._name}.{name}, which is no stored many2one "
            "or one2many field"
        )

    def _watched(self, resource, model_name, hops, names=(), deletes=False):
        model = self.env[model_name]
        company = self.env[resource._resource_model]._fields.get("company_id")
        watched = Watched(
            model=model_name,
            table=model._table,
            fields=frozenset(names),
            indirect=frozenset(name for name in names if not model._fields[name].column_type),
            hops=tuple(hops),
            res_model=resource._resource_model,
            has_company=bool(company and company.store and company.column_type),
            export_all=resource._resource_export_scope == "all",
            deletes=deletes,
        )
        if watched.moved_by:
            watched = replace(watched, fields=watched.fields | {watched.moved_by})
        return watched
