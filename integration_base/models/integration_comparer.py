from dataclasses import dataclass, field
from typing import Any

from odoo import models
from odoo.tools import SQL

from ..lib.digest import digest
from ..lib.errors import InvalidPayloadError, SkipRecord
from ..lib.records import Difference, Item
from .integration_engine import concerns_all, halves
from .integration_importer import CLOCK_SKEW, READ_MARGIN

#: Links or Odoo records looked at in one transaction, where nothing has to be asked outside.
PAGE = 500


@dataclass
class Reading:
    """What one step learnt before the transaction that stores it began.

    :param phase: the step, and ``page`` where in it the run stood then.
    :param answer: what the service said; while checking ``{id of the line: error}``.
    :param items: records fetched while checking; ``operation_id`` is the id of the line.
    """

    phase: str
    page: Any
    answer: Any = None
    items: list[Item] = field(default_factory=list)


class IntegrationComparer(models.AbstractModel):
    """Compares a page of both sides; the steps of ``integration.reconciliation``.

    Every step is read by :meth:`_read` in one transaction and stored by its ``_store_<phase>`` in
    a later one.
    """

    _name = "integration.comparer"
    _description = "Integration Comparer"

    # === COUNTING === #

    def _read(self, run, flow, backend):
        """Ask the service what the present phase needs to know."""
        reading = Reading(run.phase, run.page)
        if run.phase == "count":
            reading.answer = self._ask(backend, flow._resource()._count, backend)
        elif run.phase == "list":
            page = run.page["page"] if run.page else None
            reading.answer = self._ask(backend, flow._resource()._list, backend, page)
            if page is not None and reading.answer.next_page == page:
                raise InvalidPayloadError(
                    self.env._(
                        "The list of %(flow)s does not end: the page after %(page)s is that page "
                        "again. Show this to your integrator.",
                        flow=flow.display_name,
                        page=page,
                    )
                )
        elif run.phase == "check":
            self._read_suspects(run, flow, backend, reading)
        return reading

    def _ask(self, backend, hook, *arguments):
        return backend._with_renewed_auth(lambda: hook(*arguments))

    def _store_count(self, run, flow, backend, reading):
        linked = flow.env["integration.binding"].search_count(
            [
                ("backend_id", "=", backend.id),
                ("resource", "=", flow.resource),
                ("deleted_at", "=", False),
            ]
        )
        run.write({"external_count": reading.answer or 0, "odoo_count": linked})
        run._advance("list")

    # === LISTING === #

    def _store_list(self, run, flow, backend, reading):
        """Suspect what a page of the service's list shows to be missing or different in Odoo."""
        snapshots = {snapshot.external_id: snapshot for snapshot in reading.answer.snapshots}
        bindings, records = self._bound(flow, backend, snapshots)
        latest = self._latest_operations(flow, snapshots, records.values())
        agreements = self._agreements(flow, bindings)
        same_here = self._same_in_odoo(flow, backend, bindings, records, agreements)
        known = self._lines_of(run, snapshots)
        suspects, in_work, left_out, unbound = [], 0, 0, 0
        for external_id, snapshot in snapshots.items():
            binding = bindings.get(external_id)
            record = records.get(external_id)
            unbound += not binding
            same = record is not None and same_here[external_id]
            if external_id in known or same is None:
                continue
            agreement = binding and agreements.get(binding.id)
            if same and self._same_outside(flow, snapshot, binding, agreement):
                continue
            excuse = self._excuse(run, latest, external_id, record, snapshot.updated_at)
            if excuse == "in_work":
                in_work += 1
            elif excuse == "left_out" and record is None:
                left_out += 1
            else:
                suspects.append(
                    self._line_values(
                        run,
                        "missing_in_odoo" if record is None else "different",
                        external_id,
                        snapshot.label or (binding and binding.external_label),
                        record,
                        self._version(snapshot),
                    )
                )
        marked = flow.env["integration.agreement"]._mark_seen(
            flow, run.id, [binding.id for binding in bindings.values()]
        )
        flow.env["integration.discrepancy"].create(suspects)
        values = {
            "seen_count": run.seen_count + marked + unbound,
            "in_work_count": run.in_work_count + in_work,
            "left_out_count": run.left_out_count + left_out,
        }
        if reading.answer.next_page is not None:
            values["page"] = {"page": reading.answer.next_page}
        run.write(values)
        if reading.answer.next_page is None:
            run.external_count = run.external_count or run.seen_count
            run._advance("unseen")

    def _line_values(self, run, kind, external_id, label, record, version=None):
        return {
            "reconciliation_id": run.id,
            "flow_id": run.flow_id.id,
            "backend_id": run.backend_id.id,
            "company_id": run.company_id.id,
            "kind": kind,
            "external_id": external_id,
            "external_label": label or external_id,
            "res_model": record is not None and record._name,
            "res_id": record is not None and record.id,
            "version": version,
        }

    def _lines_of(self, run, external_ids):
        """Return the ids among ``external_ids`` that this run has a line for."""
        lines = self.env["integration.discrepancy"].search_fetch(
            [("reconciliation_id", "=", run.id), ("external_id", "in", list(external_ids))],
            ["external_id"],
        )
        return set(lines.mapped("external_id"))

    def _bound(self, flow, backend, external_ids):
        """Return ``({external_id: binding}, {external_id: Odoo record that exists})``."""
        Binding = flow.env["integration.binding"]
        found = Binding._search_external(backend, flow.resource, list(external_ids))
        return {binding.external_id: binding for binding in found}, found._existing_records()

    def _agreements(self, flow, bindings):
        found = flow.env["integration.agreement"].search_fetch(
            [
                ("flow_id", "=", flow.id),
                ("binding_id", "in", [binding.id for binding in bindings.values()]),
            ],
            ["binding_id", "agreed_at", "agreed_state"],
        )
        return {agreement.binding_id.id: agreement for agreement in found}

    # === WHAT IS THE SAME WITHOUT FETCHING === #

    def _version(self, snapshot):
        if snapshot.digest:
            return snapshot.digest
        return snapshot.updated_at.isoformat() if snapshot.updated_at else None

    def _agreed_state(self, version, binding):
        # an import or export since then makes another state of it
        return version and digest([version, binding.import_digest, binding.export_digest])

    def _same_outside(self, flow, snapshot, binding, agreement):
        """Whether the service's record is one that is known to agree with Odoo's."""
        if binding.deleted_at:
            return False
        state = self._agreed_state(self._version(snapshot), binding)
        if state and agreement and agreement.agreed_state == state:
            return True
        if snapshot.digest:
            return flow.direction == "in" and snapshot.digest == binding.import_digest
        return bool(
            snapshot.updated_at
            and binding.external_updated_at
            and binding.fetched_at
            and snapshot.updated_at <= binding.external_updated_at
            # a second change of that very second may be unseen
            and binding.fetched_at > binding.external_updated_at + READ_MARGIN
        )

    def _same_in_odoo(self, flow, backend, bindings, records, agreements):
        """Return ``{external_id: whether the Odoo record is as it was when both agreed}``.

        None for records the flow is not concerned with. Into Odoo the time of the last change
        tells, which may be any change; out of Odoo the values that would be sent tell.
        """
        if flow.direction == "in":
            return {
                external_id: self._unwritten(
                    record, bindings[external_id], agreements.get(bindings[external_id].id)
                )
                for external_id, record in records.items()
            }
        concerned = self._exported(flow, backend, records.values())
        items = [
            Item(0, external_id, record=record, bound=True, outgoing=True)
            for external_id, record in records.items()
            if record.id in concerned
        ]
        if items:
            with backend._working(items) as own:
                own._resource(flow.resource)._export(own, items)
        same = dict.fromkeys(records)
        for item in items:
            sent = bindings[item.external_id].export_digest
            same[item.external_id] = item.alive and digest(item.values) == sent
        return same

    def _unwritten(self, record, binding, agreement):
        if "write_date" not in record._fields:
            return True
        times = (binding.create_date, binding.imported_at, agreement and agreement.agreed_at)
        return not record.write_date or record.write_date <= max(filter(None, times))

    def _exported(self, flow, backend, records):
        """Return the ids of those of ``records`` that the backend shall have."""
        resource = flow._resource()
        ids = [record.id for record in records]
        domain = [*resource._export_domain(backend), ("id", "in", ids)]
        Model = flow.env[resource._resource_model].with_context(active_test=False)
        return set(Model._search(domain)) if ids else set()

    # === WHAT IS ON ITS WAY === #

    def _latest_operations(self, flow, external_ids, records):
        """Return what the sync log has last of these records, of both directions, in one query.

        :returns: ``{(direction, key): (whether one is open, last state, last version)}``.
        """
        flows = flow.backend_id.flow_ids.filtered(lambda f: f.resource == flow.resource)
        flow.env.cr.execute(
            SQL(
                """
                SELECT f.direction, o.key,
                       bool_or(o.state IN ('pending', 'running', 'dead')),
                       (array_agg(o.state ORDER BY o.id DESC))[1],
                       (array_agg(o.external_updated_at ORDER BY o.id DESC))[1]
                  FROM integration_sync_log o JOIN integration_flow f ON f.id = o.flow_id
                 WHERE (o.flow_id = ANY(%s) AND o.key = ANY(%s)
                        OR o.flow_id = ANY(%s) AND o.key = ANY(%s))
                   AND o.kind = 'record' AND o.state <> 'merged'
                 GROUP BY f.direction, o.key
                """,
                flows.filtered(lambda f: f.direction == "in").ids,
                [external_id for external_id in external_ids if external_id],
                flows.filtered(lambda f: f.direction == "out").ids,
                [str(record.id) for record in records],
            )
        )
        return {(direction, key): rest for direction, key, *rest in flow.env.cr.fetchall()}

    def _excuse(self, run, latest, external_id, record, updated_at):
        """Return why a record that is not the same on both sides is no discrepancy, or None.

        ``in_work``: an operation on it is open, or it changed since the run began.
        ``left_out``: it was skipped or set aside with a reason, and did not change since.
        """
        mine = [latest.get(("in", external_id))]
        if record is not None:
            mine.append(latest.get(("out", str(record.id))))
        if any(row and row[0] for row in mine):
            return "in_work"
        if updated_at and updated_at > self._beginning(run):
            return "in_work"
        for row in filter(None, mine):
            _open, state, version = row
            if state in ("skipped", "ignored") and not (
                version and updated_at and updated_at > version
            ):
                return "left_out"
        return None

    def _beginning(self, run):
        # by the clock of the service, which may differ from ours
        return run.started_at - CLOCK_SKEW

    # === MISSING OUTSIDE === #

    def _store_unseen(self, run, flow, backend, reading):
        """Suspect the links that the service's list did not show."""
        after = run.page["after"] if run.page else ""
        flow.env.flush_all()
        flow.env.cr.execute(
            SQL(
                """
                SELECT b.id FROM integration_binding b
                  LEFT JOIN integration_agreement a ON a.binding_id = b.id AND a.flow_id = %s
                 WHERE b.backend_id = %s AND b.resource = %s AND b.external_id > %s
                   AND b.deleted_at IS NULL AND a.seen_run_id IS DISTINCT FROM %s
                 ORDER BY b.external_id LIMIT %s
                """,
                flow.id,
                backend.id,
                flow.resource,
                after,
                run.id,
                PAGE,
            )
        )
        bindings = flow.env["integration.binding"].browse(r[0] for r in flow.env.cr.fetchall())
        records = bindings._existing_records()
        latest = self._latest_operations(flow, bindings.mapped("external_id"), records.values())
        if flow.direction == "out":
            concerned = self._exported(flow, backend, records.values())
            records = {key: record for key, record in records.items() if record.id in concerned}
        suspects, in_work = [], 0
        for binding in bindings:
            record = records.get(binding.external_id)
            if record is None:
                # on neither side, or none of the flow's business
                continue
            if self._excuse(run, latest, binding.external_id, record, None) == "in_work":
                in_work += 1
                continue
            suspects.append(
                self._line_values(
                    run, "missing_outside", binding.external_id, binding.external_label, record
                )
            )
        flow.env["integration.discrepancy"].create(suspects)
        run.in_work_count += in_work
        if len(bindings) == PAGE:
            run.page = {"after": bindings[-1].external_id}
        else:
            sends_all = flow.direction == "out" and flow._resource()._resource_export_scope == "all"
            run._advance("unsent" if sends_all else "check")

    def _store_unsent(self, run, flow, backend, reading):
        """Suspect the Odoo records that the backend shall have, and that never went out."""
        after = run.page["after"] if run.page else 0
        resource = flow._resource()
        records = flow.env[resource._resource_model].search(
            [*resource._export_domain(backend), ("id", ">", after)], order="id", limit=PAGE
        )
        bound = flow.env["integration.binding"]._read_group(
            [
                ("backend_id", "=", backend.id),
                ("resource", "=", flow.resource),
                ("res_model", "=", records._name),
                ("res_id", "in", records.ids),
            ],
            ["res_id"],
        )
        latest = self._latest_operations(flow, [], records)
        bound = {res_id for (res_id,) in bound}
        suspects, in_work, left_out = [], 0, 0
        for record in records:
            if record.id in bound:
                continue
            excuse = self._excuse(run, latest, None, record, None)
            if excuse == "in_work":
                in_work += 1
            elif excuse == "left_out":
                left_out += 1
            else:
                suspects.append(
                    self._line_values(run, "missing_outside", False, record.display_name, record)
                )
        flow.env["integration.discrepancy"].create(suspects)
        run.in_work_count += in_work
        run.left_out_count += left_out
        if len(records) == PAGE:
            run.page = {"after": records[-1].id}
        else:
            run._advance("check")

    # === CHECKING === #

    def _read_suspects(self, run, flow, backend, reading):
        """Fetch the next suspected records, into ``reading``."""
        resource = flow._resource()
        lines = flow.env["integration.discrepancy"].search(
            [("reconciliation_id", "=", run.id), ("state", "=", "suspected")],
            order="id",
            limit=flow.batch_size,
        )
        errors, failed = {}, {}
        # what Odoo does not have is fetched when it is imported
        wanted = lines.filtered(lambda line: line.external_id and line.kind != "missing_in_odoo")
        payloads = self._fetch(resource, backend, wanted.mapped("external_id"), failed)
        for line in lines:
            item = Item(
                line.id,
                line.external_id or "",
                line.external_label or "",
                outgoing=flow.direction == "out",
            )
            reading.items.append(item)
            if item.external_id in failed:
                errors[line.id] = failed[item.external_id]
            elif item.external_id in payloads:
                item.payload = payloads[item.external_id]
                try:
                    item.data = resource._validate(backend, item.payload, item.label)
                    item.updated_at = resource._updated_at(item.data)
                    item.label = resource._label(item.data) or item.label
                    item.digest = resource._digest(item.data)
                except Exception as error:
                    errors[line.id] = error
        reading.answer = errors

    def _fetch(self, resource, backend, external_ids, failed):
        """Fetch by halves where an error nobody expected comes from one record.

        :param dict failed: gets ``{external_id: error}``.
        """
        if not external_ids:
            return {}
        try:
            return self._ask(backend, resource._fetch, backend, external_ids)
        except Exception as error:
            if concerns_all(error):
                raise
            if len(external_ids) == 1:
                failed[external_ids[0]] = error
                return {}
            first, second = halves(external_ids)
            return {
                **self._fetch(resource, backend, first, failed),
                **self._fetch(resource, backend, second, failed),
            }

    def _store_check(self, run, flow, backend, reading):
        """Compare what was fetched field by field, and report what still differs."""
        if not reading.items:
            run._guard_vanished(flow)
            run._advance("repair")
            return
        errors = reading.answer
        lines = flow.env["integration.discrepancy"].browse(i.operation_id for i in reading.items)
        lines = lines.exists().filtered(lambda line: line.state == "suspected")
        items = {item.operation_id: item for item in reading.items}
        bindings, records = self._bound(flow, backend, [i.external_id for i in items.values()])
        unsent = {line.id: line._record() for line in lines if not line.external_id}
        everything = [*records.values(), *filter(None, unsent.values())]
        latest = self._latest_operations(
            flow, [item.external_id for item in items.values()], everything
        )
        verdicts, compared = {}, []
        versions = {line.id: line.version for line in lines}
        for line in lines:
            item = items[line.id]
            item.restart()
            item.record = records.get(item.external_id) or unsent.get(line.id)
            item.bound = item.external_id in records
            verdict = self._verdict(run, line, item, bindings, latest, errors.get(line.id))
            if verdict == "compare":
                compared.append(item)
            else:
                verdicts[line] = verdict
        self._compare(flow, backend, compared, bindings)
        for item in compared:
            verdicts[lines.browse(item.operation_id)] = self._outcome(item, bindings)
        self._report(run, flow, verdicts)
        self._remember(flow, compared, bindings, versions)

    def _verdict(self, run, line, item, bindings, latest, error):
        """Return what a suspected record is, as far as that can be told without comparing.

        :returns: ``compare``, ``same``, ``in_work`` or ``left_out``, or ``(kind, differences)`` for
            a discrepancy.
        """
        if isinstance(error, SkipRecord):
            return "left_out"
        excuse = self._excuse(run, latest, item.external_id or None, item.record, item.updated_at)
        if excuse == "in_work":
            return excuse
        if error:
            return ("different", [["", "", getattr(error, "message", None) or str(error)]])
        if item.record is None:
            return ("missing_in_odoo", []) if line.kind != "missing_outside" else "same"
        if not item.external_id:
            started = item.record.create_date and item.record.create_date > run.started_at
            return "in_work" if started else ("missing_outside", [])
        if item.payload is None:
            if line.kind == "missing_in_odoo":
                # imported meanwhile
                return "same"
            # listed and then gone: it is being deleted right now
            return ("missing_outside", []) if line.kind == "missing_outside" else "in_work"
        known = bindings[item.external_id].external_updated_at
        if known and item.updated_at and item.updated_at < known:
            # an old copy, as services show them for a while
            return "in_work"
        return "compare"

    def _compare(self, flow, backend, items, bindings):
        """Let the resource prepare values and set the differences of ``items``."""
        if not items:
            return
        with backend._working(items) as own:
            resource = own._resource(flow.resource)
            (resource._export if flow.direction == "out" else resource._map)(own, items)
            alive = [item for item in items if item.alive]
            if alive:
                resource._compare(own, alive)
        for item in alive:
            if item.differences is None:
                item.differences = self._digest_differences(flow, item, bindings)
            if bindings[item.external_id].deleted_at:
                gone, here = self.env._("Deleted"), self.env._("Exists again")
                item.differences = [Difference("", gone, here), *item.differences]

    def _digest_differences(self, flow, item, bindings):
        """Say what is known of a record that cannot be compared field by field."""
        binding = bindings[item.external_id]
        if flow.direction == "out":
            if digest(item.values) == binding.export_digest:
                return []
            return [Difference("", self.env._("Changed since it was last sent"), "")]
        if item.digest == binding.import_digest:
            return []
        versions = (binding.external_updated_at, item.updated_at)
        return [
            Difference(
                self.env._("Version"), *(str(version) if version else "?" for version in versions)
            )
        ]

    def _outcome(self, item, bindings):
        if isinstance(item.error, SkipRecord):
            return "left_out"
        if item.error:
            return ("different", [["", "", item.error.message]])
        if not item.differences:
            return "same"
        return ("different", [[d.field, d.odoo, d.external] for d in item.differences])

    def _report(self, run, flow, verdicts):
        """Turn suspected lines into open ones, or drop them."""
        figures = dict.fromkeys(
            ("missing_in_odoo", "missing_outside", "different", "in_work", "left_out"), 0
        )
        Discrepancy = flow.env["integration.discrepancy"]
        found = Discrepancy.union(*(line for line, v in verdicts.items() if type(v) is tuple))
        earlier = Discrepancy.search(
            [
                ("flow_id", "=", flow.id),
                ("state", "in", ("open", "ignored")),
                ("reconciliation_id", "!=", run.id),
                "|",
                ("external_id", "in", found.filtered("external_id").mapped("external_id")),
                "&",
                ("external_id", "=", False),
                (
                    "res_id",
                    "in",
                    found.filtered(lambda line: not line.external_id).mapped("res_id"),
                ),
            ]
        )
        accepted = {
            (line.external_id or line.res_id, line.kind, digest(line.differences or []))
            for line in earlier
            if line.state == "ignored"
        }
        outdated, dropped = set(), Discrepancy
        for line, verdict in verdicts.items():
            if type(verdict) is tuple:
                kind, differences = verdict
                if (line.external_id or line.res_id, kind, digest(differences)) in accepted:
                    verdict = "left_out"
            if type(verdict) is not tuple:
                dropped |= line
                if verdict != "same":
                    figures[verdict] += 1
                continue
            figures[kind] += 1
            outdated.add(line.external_id or line.res_id)
            line.write({"kind": kind, "differences": differences or False, "state": "open"})
        dropped.unlink()
        earlier.filtered(
            lambda line: line.state == "open" and (line.external_id or line.res_id) in outdated
        ).state = "outdated"
        run.write(
            {f"{name}_count": run[f"{name}_count"] + count for name, count in figures.items()}
        )

    def _remember(self, flow, items, bindings, versions):
        """Keep in which state both sides were found equal, so that nothing is fetched again."""
        states = {}
        for item in items:
            if item.alive and not item.differences:
                binding = bindings[item.external_id]
                written_at = "write_date" in item.record._fields and item.record.write_date
                state = self._agreed_state(versions[item.operation_id], binding)
                states[binding.id] = (written_at, state or None)
        flow.env["integration.agreement"]._agree(flow, states)
