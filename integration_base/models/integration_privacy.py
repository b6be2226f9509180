import json
import re
import time
from dataclasses import dataclass

from odoo import SUPERUSER_ID, api, models
from odoo.fields import Domain
from odoo.tools import SQL, email_normalize_all

from ..lib.person import Person, erased
from ..lib.redact import MASK

#: Rows that are looked at in one transaction.
WINDOW = 5000
#: External ids that are looked for in texts; of a person with more, only those of the contacts.
MOST_IDS = 200
#: States of an operation that may still write something in Odoo.
OPEN_STATES = ("pending", "dead", "running")
#: A value without a person in it: an amount, with or without its currency.
_AMOUNT = re.compile(r"[\d\s.,+-]+([A-Z]{3})?")

_OWN_OPERATION = "r.operation_id = ANY(%(operations)s)"
# sets, which PostgreSQL hashes once: a person may have thousands of records
_OWN_RECORD = (
    "(r.res_model, r.res_id) IN"
    " (SELECT model, id FROM unnest(%(models)s::text[], %(ids)s::int[]) d(model, id))"
)
_OWN_KEY = (
    "(r.backend_id, {resource}, r.external_id) IN (SELECT backend, resource, key"
    " FROM unnest(%(backends)s::int[], %(resources)s::text[], %(keys)s::text[])"
    " k(backend, resource, key))"
)
_OF_BACKEND = "r.backend_id = %(backend)s"
_OF_OPERATION = (
    "r.operation_id IN (SELECT id FROM integration_sync_log WHERE backend_id = %(backend)s)"
)
#: Our records that people follow, for the tables that point at any model.
FOLLOWED = ("integration.backend", "integration.incident", "integration.privacy.request")


def _of_followed(model, res_id, condition):
    """Return which rows (SQL) of such a table belong to our records of a company or backend.

    :param model: the column with the model.
    :param res_id: the column with the id of the record.
    :param condition: which of our records ``f``; of a backend, ``backend_id`` is its own id.
    """
    rows = []
    for name in FOLLOWED:
        backend = "id" if name == "integration.backend" else "backend_id"
        table = f"(SELECT id, company_id, {backend} AS backend_id FROM {name.replace('.', '_')}) f"
        ids = f"SELECT f.id FROM {table} WHERE {condition}"
        rows.append(f"{model} = '{name}' AND {res_id} IN ({ids})")
    return f"({' OR '.join(rows)})"


_OURS = "f.company_id = %(company)s"
_BACKENDS = "f.backend_id = %(backend)s"
_OF_MESSAGE = "r.mail_message_id IN (SELECT m.id FROM mail_message m WHERE {})"


@dataclass(frozen=True)
class Store:
    """A table that may hold personal data, and how its rows are found and cleaned.

    All conditions are SQL over the alias ``r``.

    :param model: its model.
    :param texts: columns with sentences; what concerns the person is taken out.
    :param documents: columns with data of one record, or of several (``shared``); all that is
        personal is taken out.
    :param blanks: columns that are emptied.
    :param kept: columns that are handed out, but stay when the person is erased: what has to be
        provable, such as a consent.
    :param linked: which rows belong to the person's records, whatever their texts say.
    :param scope: which rows belong to the company.
    :param whole: which rows belong to a backend: for one that is erased as a whole, and for a
        person whom only this backend shall forget.
    :param shared: whether a row is about the records of several people.
    """

    model: str
    texts: tuple[str, ...] = ()
    documents: tuple[str, ...] = ()
    blanks: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    linked: str = "false"
    scope: str = "r.company_id = %(company)s"
    whole: str = _OF_BACKEND
    shared: bool = False

    @property
    def columns(self):
        """What is cleaned when a person is erased."""
        return (*self.texts, *self.documents, *self.blanks)

    @property
    def shown(self):
        """What is handed out to the person."""
        return (*self.columns, *self.kept)


STORES = (
    Store(
        "integration.sync.log",
        texts=("label", "message", "review_note"),
        documents=("payload",),
        # what failed is told by the message; edited data would be written into Odoo once more
        blanks=("edited_payload", "detail"),
        linked="r.id = ANY(%(operations)s)",
    ),
    Store(
        "integration.sync.attempt",
        texts=("message",),
        linked=_OWN_OPERATION,
        whole=_OF_OPERATION,
    ),
    Store(
        "integration.sync.edit",
        texts=("reason",),
        documents=("original", "edited"),
        linked=_OWN_OPERATION,
        whole=_OF_OPERATION,
    ),
    Store(
        "integration.edit.payload",
        texts=("reason",),
        documents=("payload",),
        linked=_OWN_OPERATION,
        scope="r.operation_id IN"
        " (SELECT id FROM integration_sync_log WHERE company_id = %(company)s)",
        whole=_OF_OPERATION,
    ),
    Store(
        # without it the record is read from the service
        "integration.staged.payload",
        blanks=("payload",),
        linked=_OWN_OPERATION,
    ),
    Store(
        "integration.webhook.event",
        texts=("message",),
        documents=("body",),
        linked="r.id = ANY(%(events)s)",
    ),
    Store(
        "integration.exchange",
        texts=("name", "url", "error"),
        documents=("request_headers", "request_body", "response_headers", "response_body"),
        linked="r.batch_ref = ANY(%(batches)s)",
        shared=True,
    ),
    Store(
        "integration.intent",
        texts=("label", "error"),
        documents=("request", "result"),
        linked=f"{_OWN_OPERATION} OR {_OWN_RECORD}",
    ),
    Store(
        "integration.binding",
        blanks=("external_label",),
        linked=f"{_OWN_RECORD} OR {_OWN_KEY.format(resource='r.resource')}",
    ),
    Store(
        "integration.discrepancy",
        texts=("external_label", "reason"),
        documents=("differences",),
        linked=_OWN_RECORD
        + " OR "
        + _OWN_KEY.format(
            resource="(SELECT f.resource FROM integration_flow f WHERE f.id = r.flow_id)"
        ),
    ),
    Store("integration.incident", texts=("message", "close_reason"), linked=_OWN_OPERATION),
    Store("integration.mapping", texts=("external_label", "external_note")),
    Store("integration.reconciliation", texts=("message",)),
    Store("integration.backfill", texts=("message",)),
    Store("integration.flow", texts=("held_reason",)),
    Store("integration.backend", texts=("pause_reason",), whole="r.id = %(backend)s"),
    Store("integration.breaker", texts=("last_error",)),
    Store("integration.webhook.subscription", texts=("message",)),
    Store(
        "mail.message",
        texts=("subject", "body"),
        scope=_of_followed("r.model", "r.res_id", _OURS),
        whole=_of_followed("r.model", "r.res_id", _BACKENDS),
    ),
    Store(
        "mail.mail",
        texts=("body_html",),
        scope=_OF_MESSAGE.format(_of_followed("m.model", "m.res_id", _OURS)),
        whole=_OF_MESSAGE.format(_of_followed("m.model", "m.res_id", _BACKENDS)),
    ),
    Store(
        "mail.activity",
        texts=("res_name", "summary", "note", "feedback"),
        scope=_of_followed("r.res_model", "r.res_id", _OURS),
        whole=_of_followed("r.res_model", "r.res_id", _BACKENDS),
    ),
    Store(
        "mail.tracking.value",
        texts=("old_value_char", "new_value_char", "old_value_text", "new_value_text"),
        scope=_OF_MESSAGE.format(_of_followed("m.model", "m.res_id", _OURS)),
        whole=_OF_MESSAGE.format(_of_followed("m.model", "m.res_id", _BACKENDS)),
    ),
    Store(
        "queue.job",
        texts=("name", "func_string", "exc_message", "exc_info", "result"),
        documents=("args", "kwargs"),
        # jobs that are still to run need their arguments
        scope="r.model_name LIKE 'integration.%%' AND r.state IN ('done', 'failed', 'cancelled')"
        " AND COALESCE(r.company_id, %(company)s) = %(company)s",
        # those that work on no flow may tell about any; a text with JSON in it is stored as JSON
        whole="NOT (r.model_name = 'integration.flow' AND EXISTS"
        " (SELECT 1 FROM integration_flow f WHERE f.backend_id <> %(backend)s"
        "   AND (r.records #>> '{}')::jsonb->'ids' @> to_jsonb(f.id)))",
    ),
)


class IntegrationPrivacy(models.AbstractModel):
    """Finds, exports and erases what the integrations keep on a person.

    Odoo's own records (contacts, orders, invoices) are not touched: they have rules of their own,
    such as the time an invoice has to be kept.

    What is erased leaves its row behind, with ids, states, times, amounts and digests: the history
    stays explainable, and nothing is imported a second time.
    """

    _name = "integration.privacy"
    _description = "Integration Privacy"

    # === HOOKS === #

    @api.model
    def _stores(self):
        """Return every :class:`Store`. Extend it in an addon with tables of its own."""
        return STORES

    @api.model
    def _own_stores(self):
        """Return the stores to clean that are lasting tables of the integrations, not of Odoo."""
        return [
            store
            for store in self._stores()
            if store.columns
            and store.model.startswith("integration.")
            and not self.env[store.model]._transient
        ]

    # === WHO === #

    @api.model
    def _terms(self, company, partners=None, contacts=(), names=(), records=(), backend=None):
        """Return all that a person is found by, as JSON-able data.

        :param company: only what belongs to it.
        :param partners: contacts of the person; their addresses are added.
        :param contacts: e-mail addresses and phone numbers; contacts with one of these e-mail
            addresses are the person, too.
        :param names: names, streets and the like.
        :param records: tuples ``(backend id, resource, external id)`` of the person's records.
        :param backend: everything it has, instead of a person.
        :returns: ``contacts``, ``names``, ``records``, ``documents`` (model and id), ``ids``
            (external ones of the contacts), ``partners`` and ``backend``. See also :meth:`_within`.
        """
        # sudo: what is kept on a person does not depend on which contacts a user may see
        partners = (partners or self.env["res.partner"]).sudo().with_context(active_test=False)
        # "Anna <anna@example.com>" is written nowhere else
        emails = {email for text in contacts for email in email_normalize_all(text or "")}
        records = {tuple(record) for record in records}
        bound = self._bindings(company, Domain.FALSE)
        if records:
            bound = self._bindings(company, Domain("external_id", "in", [r[2] for r in records]))
            bound = bound.filtered(
                lambda link: (link.backend_id.id, link.resource, link.external_id) in records
            )
            partners |= partners.browse(
                bound.filtered(lambda link: link.res_model == "res.partner").mapped("res_id")
            ).exists()
        if emails:
            partners |= partners.search(
                [
                    ("email_normalized", "in", list(emails)),
                    ("company_id", "in", [False, company.id]),
                ]
            )
        # employees of a company are people of their own
        partners |= partners.child_ids.filtered(lambda child: child.type != "contact")
        documents = {(link.res_model, link.res_id) for link in bound}
        documents |= self._documents(company, partners)
        ids = set()
        for model in {model for model, _id in documents}:
            numbers = [id_ for name, id_ in documents if name == model]
            links = self._bindings(
                company, Domain("res_model", "=", model) & Domain("res_id", "in", numbers)
            )
            if model == "res.partner":
                ids.update(links.mapped("external_id"))
            records |= {(link.backend_id.id, link.resource, link.external_id) for link in links}
        return {
            "contacts": [
                *contacts,
                *sorted(emails),
                *partners.filtered("email").mapped("email"),
                *(
                    mail
                    for partner in partners
                    for mail in email_normalize_all(partner.email or "")
                ),
                *partners.filtered("phone").mapped("phone"),
            ],
            "names": [*names, *(name for partner in partners for name in self._names(partner))],
            "records": sorted(records),
            "documents": sorted(documents),
            "ids": sorted(ids),
            "partners": partners.ids,
            "backend": backend.id if backend else None,
        }

    @api.model
    def _within(self, terms, backend_id):
        """Return the terms of a person for what one backend keeps on them, and nothing else."""
        records = [record for record in terms["records"] if record[0] == backend_id]
        return {**terms, "records": records, "within": backend_id}

    @api.model
    def _names(self, partner):
        """Return what a contact is called and where it lives, as it may be written somewhere."""
        words = (partner.name or "").split()
        turned = [f"{words[-1]}, {' '.join(words[:-1])}"] if len(words) > 1 else []
        return [partner.name, *turned, partner.street, partner.street2, partner.vat]

    @api.model
    def _bindings(self, company, domain):
        # sudo: see _terms; only the company's
        return (
            self.env["integration.binding"]
            .sudo()
            .search(Domain("company_id", "=", company.id) & domain)
        )

    @api.model
    def _documents(self, company, partners):
        """Return ``{(model, id)}`` of the contacts and of the linked documents that name them."""
        found = {("res.partner", id_) for id_ in partners.ids}
        if not partners:
            return found
        # sudo: see _terms; only the company's
        groups = (
            self.env["integration.binding"]
            .sudo()
            ._read_group(
                [("company_id", "=", company.id), ("res_model", "!=", "res.partner")], ["res_model"]
            )
        )
        for (model,) in groups:
            if model not in self.env or self.env[model]._abstract:
                continue
            fields = [
                name
                for name, field in self.env[model]._fields.items()
                if field.type == "many2one"
                and field.store
                and field.comodel_name == "res.partner"
                # of a company: the orders of its employees are not the person's
                and not name.startswith("commercial_")
            ]
            domain = Domain.OR(Domain(name, "in", partners.ids) for name in fields)
            # sudo: see _terms; what is kept of a person has bindings of the company
            rows = self.env[model].sudo().with_context(active_test=False).search(domain)
            found |= {(model, id_) for id_ in rows.ids}
        return found

    @api.model
    def _person(self, terms):
        """Return the :class:`~..lib.person.Person` of :meth:`_terms`."""
        ids = [record[2] for record in terms["records"]]
        # rows of the records are found by their links; so many words are no regular expression
        return Person.of(
            terms["contacts"], ids if len(ids) <= MOST_IDS else terms["ids"], terms["names"]
        )

    @api.model
    def _personal_keys(self, company):
        """Return what the connectors of a company call personal data, beside the usual names."""
        # sudo: see _terms
        backends = self.env["integration.backend"].sudo().with_context(active_test=False)
        found = backends.search([("company_id", "=", company.id)])
        return sorted(
            {key for backend in found for key in backend._connector()._connector_personal_keys}
        )

    # === WHERE === #

    @api.model
    def _links(self, company, terms):
        """Return what leads from the person's records to their rows, as arguments of SQL.

        :param terms: see :meth:`_terms`.
        """
        records, documents = terms["records"], terms["documents"]
        links = {
            "company": company.id,
            "backend": terms["backend"],
            "within": terms.get("within"),
            "backends": [record[0] for record in records],
            "resources": [record[1] for record in records],
            "keys": [record[2] for record in records],
            "models": [document[0] for document in documents],
            "ids": [document[1] for document in documents],
        }
        found = {}
        person = self._person(terms)
        texts = SQL("concat_ws(chr(10), r.label, r.message, r.payload, r.edited_payload)")
        own = f"{_OWN_RECORD} OR {_OWN_KEY.format(resource='r.resource')}"
        self.env.cr.execute(
            SQL(
                "SELECT r.id, r.batch_ref, r.webhook_event_id, r.state, own.linked,"
                " CASE WHEN own.linked THEN NULL ELSE %(texts)s END"
                " FROM integration_sync_log r CROSS JOIN LATERAL (SELECT %(own)s AS linked) own"
                " WHERE r.company_id = %(company)s"
                " AND (%(within)s::int IS NULL OR r.backend_id = %(within)s)"
                " AND (own.linked OR (r.state IN ('pending', 'dead', 'running') AND %(named)s))",
                own=SQL(own, **links),
                company=company.id,
                within=links["within"],
                texts=texts,
                named=self._named(texts, person, certain=True),
            )
        )
        for id_, batch, event, state, linked, text in self.env.cr.fetchall():
            if linked or person.is_in(text, certain=True):
                found[id_] = (batch, event, state)
        self.env.cr.execute(
            "SELECT DISTINCT batch_ref FROM integration_sync_attempt"
            " WHERE operation_id = ANY(%s) AND batch_ref IS NOT NULL",
            [list(found)],
        )
        batches = {row[0] for row in self.env.cr.fetchall()}
        links["operations"] = sorted(found)
        links["batches"] = sorted(batches | {row[0] for row in found.values() if row[0]})
        links["events"] = sorted({row[1] for row in found.values() if row[1]})
        return links

    @api.model
    def _named(self, texts, person, certain):
        """Return the condition (SQL) that a text may name a person, and is worth a closer look."""
        patterns = [person.rough_pattern(certain), person.search_pattern(certain)]
        if not patterns[-1]:
            return SQL("false")
        return SQL(" AND ").join(SQL("%s ~* %s", texts, pattern) for pattern in patterns)

    @api.model
    def _rows(self, store, links, person, certain, after):
        """Read the rows of a store that may be about the person, of the window past an id.

        :param certain: only by what belongs to nobody else.
        :param int after: last id of the window before.
        :returns: ``(last id of the window or None at the end, rows)``; a row is a dict of its
            columns with ``id`` and ``is_linked``.
        """
        table = SQL.identifier(self.env[store.model]._table)
        # what is still in the cache is about to be read and overwritten by SQL
        self.env.flush_all()
        self.env.cr.execute(
            SQL(
                "SELECT max(id) FROM (SELECT id FROM %s WHERE id > %s ORDER BY id LIMIT %s) w",
                table,
                after,
                WINDOW,
            )
        )
        (last,) = self.env.cr.fetchone()
        if last is None:
            return None, []
        texts = SQL(", ").join(SQL("r.%s::text", SQL.identifier(name)) for name in store.shown)
        texts = SQL("concat_ws(chr(10), %s)", texts)
        whole = links["backend"] is not None
        self.env.cr.execute(
            SQL(
                "SELECT r.id, own.is_linked, %(columns)s FROM %(table)s r"
                " CROSS JOIN LATERAL (SELECT COALESCE(%(linked)s, false) AS is_linked) own"
                " WHERE r.id > %(after)s AND r.id <= %(last)s AND (%(scope)s)"
                "   AND (own.is_linked OR (%(named)s))"
                " ORDER BY r.id",
                columns=self._columns(store),
                table=table,
                linked=SQL(store.whole if whole else store.linked, **links),
                after=after,
                last=last,
                scope=self._scope(store, links),
                named=SQL("false") if whole else self._named(texts, person, certain),
            )
        )
        return last, self.env.cr.dictfetchall()

    @api.model
    def _scope(self, store, links):
        """Return which rows of a store are looked at: the company's, or those of one backend."""
        scope, backend_id = SQL(store.scope, **links), links.get("within")
        if not backend_id:
            return scope
        whole = SQL(store.whole, **{**links, "backend": backend_id})
        return SQL("(%s) AND (%s)", scope, whole)

    @api.model
    def _columns(self, store):
        return SQL(", ").join(
            SQL("r.%s::text AS %s", SQL.identifier(name), SQL.identifier(name))
            for name in store.shown
        )

    # === EXPORT === #

    @api.model
    def _export(self, store, links, terms, after):
        """Read what is kept on a person in one window of a store, as JSON-able data.

        Only rows of the person's records and those with an e-mail address, phone number or id that
        is theirs: somebody else may have the same name.

        :param links: see :meth:`_links`.
        :param int after: last id of the window before.
        :returns: ``(last id of the window or None at the end, list of dicts)``: ``{"kind", "id",
            column: value}``; what a call had in common with other people is left out of it.
        """
        person = self._person(terms)
        last, rows = self._rows(store, links, person, True, after)
        return last, list(filter(None, (self._exported(store, row, person) for row in rows)))

    @api.model
    def _count(self, company, terms, seconds):
        """Count what an export would hold.

        :param seconds: time after which no further window is begun.
        :returns: ``({model: rows}, whether everything was looked at)``.
        """
        end = time.monotonic() + seconds
        links = self._links(company, terms)
        counts = {}
        for store in self._stores():
            last = 0
            while last is not None:
                if time.monotonic() > end:
                    return counts, False
                last, rows = self._export(store, links, terms, last)
                counts[store.model] = counts.get(store.model, 0) + len(rows)
        return counts, True

    @api.model
    def _exported(self, store, row, person):
        texts = "\n".join(filter(None, (row[name] for name in store.shown)))
        if not row["is_linked"] and not person.is_in(texts, certain=True):
            return None
        values = {
            name: person.excerpts(row[name])
            if store.shared and name in store.documents
            else row[name]
            for name in store.shown
        }
        values = {name: value for name, value in values.items() if value}
        return {"kind": store.model, "id": row["id"], **values}

    # === ERASURE === #

    @api.model
    def _set_aside(self, links, reason):
        """Take what could still be imported out of the way, so that it does not bring data back.

        :param links: see :meth:`_links`.
        :returns: ``(how many, whether none of the operations is at work just now)``.
        """
        # superuser: whoever asks may erase, the roles of the review are another matter
        Operation = self.env["integration.sync.log"].with_user(SUPERUSER_ID)
        domain = Domain("state", "in", OPEN_STATES) & (
            Domain("backend_id", "=", links["backend"])
            if links["backend"]
            else Domain("id", "in", links["operations"])
        )
        operations = Operation.search(domain)
        count = operations.filtered(lambda op: op.state != "running")._set_aside(reason)
        return count, not Operation.search_count(domain, limit=1)

    @api.model
    def _erase(self, store, links, terms, keys, after):
        """Erase the person from one window of a store, in the present transaction.

        :param links: see :meth:`_links`.
        :param keys: see :meth:`_personal_keys`.
        :param int after: last id of the window before.
        :returns: ``(last id of the window or None at the end, number of rows changed)``.
        """
        person = self._person(terms)
        last, rows = self._rows(store, links, person, False, after)
        redactor = person.redactor(keys)
        changed = 0
        for row in rows:
            if links["backend"]:
                values = self._blanked(store, row)
            else:
                values = self._cleaned(store, row, person, redactor)
            values = {name: value for name, value in values.items() if value != row[name]}
            self._write_row(store, row["id"], values)
            changed += bool(values)
        if changed:
            self.env[store.model].invalidate_model(list(store.columns))
        return last, changed

    @api.model
    def _erase_row(self, store, row_id, email, name):
        """Erase a person from one row with their e-mail address, in the present transaction.

        :returns: False when it is somebody else's, and stays as it is.
        """
        self.env.flush_all()
        # sudo: erasing is for administrators of privacy, whatever else they may write
        record = self.env[store.model].sudo().browse(row_id)
        self.env.cr.execute(
            SQL(
                "SELECT %s FROM %s r WHERE r.id = %s FOR UPDATE",
                self._columns(store),
                SQL.identifier(record._table),
                row_id,
            )
        )
        row = self.env.cr.dictfetchone()
        if not row:
            return True
        company = record.company_id
        person = self._person(self._terms(company, contacts=[email], names=[name]))
        # the database finds "joanna@example.com" as well
        row["is_linked"] = person.is_in("\n".join(filter(None, row.values())), certain=True)
        if not row["is_linked"]:
            return False
        if store.model == "integration.sync.log" and record.state in ("pending", "dead"):
            # superuser: as in setting aside what could still be imported
            record.with_user(SUPERUSER_ID)._set_aside(self.env._("Personal data was erased."))
        redactor = person.redactor(self._personal_keys(company))
        values = self._cleaned(store, row, person, redactor)
        self._write_row(store, row_id, values)
        record.invalidate_recordset()
        return True

    @api.model
    def _cleaned(self, store, row, person, redactor):
        """Return the columns of a row without the person; an empty dict when it is another's."""
        texts = {name: row[name] for name in store.columns if row[name]}
        owned = row["is_linked"] or person.owns("\n".join(texts.values()))
        values = {}
        for name, text in texts.items():
            if name in store.texts:
                if owned or person.is_in(text):
                    values[name] = erased(text, person, redactor)
            elif not owned:
                continue
            elif name in store.blanks:
                values[name] = None
            elif name == "differences":
                values[name] = self._cleaned_differences(text, redactor)
            else:
                values[name] = erased(text, person, redactor)
        return values

    @api.model
    def _cleaned_differences(self, text, redactor):
        """Return the differences of a person's record with the amounts only."""

        def clean(value):
            value = redactor.text(value or "")
            return value if not value or _AMOUNT.fullmatch(value) else MASK

        rows = [[field, clean(odoo), clean(outside)] for field, odoo, outside in json.loads(text)]
        return json.dumps(rows)

    @api.model
    def _blanked(self, store, row):
        """Return the columns of a row of a backend that is erased as a whole."""
        fields = self.env[store.model]._fields
        return {
            name: MASK if fields[name].required else None for name in store.columns if row[name]
        }

    @api.model
    def _write_row(self, store, row_id, values):
        if not values:
            return
        columns = self.env[store.model]._fields
        self.env.cr.execute(
            SQL(
                "UPDATE %s SET %s WHERE id = %s",
                SQL.identifier(self.env[store.model]._table),
                SQL(", ").join(
                    SQL(
                        "%s = %s::%s",
                        SQL.identifier(name),
                        value,
                        SQL(columns[name].column_type[0]),
                    )
                    for name, value in values.items()
                ),
                row_id,
            )
        )

    @api.model
    def _erase_attachments(self, company, terms):
        """Delete the files attached to our records that are about the person, or all of a backend.

        Of a backend also what users have exported: it may be about its customers.

        :returns: how many.
        """
        # sudo: nobody but the service itself reads all attachments
        files = (
            self.env["ir.attachment"]
            .sudo()
            .search(
                [("res_model", "=like", "integration.%"), ("company_id", "in", [False, company.id])]
            )
        )
        if terms["backend"]:
            files = self._files_of(files, company, [terms["backend"], False])
        else:
            if terms.get("within"):
                files = self._files_of(files, company, [terms["within"]])
            person = self._person(terms)
            files = files.filtered(
                lambda file: (
                    person.owns((file.raw or b"").decode("utf-8", "replace"))
                    or person.is_in(file.name)
                )
            )
        count = len(files)
        files.unlink()
        return count

    @api.model
    def _files_of(self, files, company, backend_ids):
        """Return the files that are attached to records of backends."""
        found = files.browse()
        for model, group in files.grouped("res_model").items():
            if model not in self.env:
                continue
            name = "id" if model == "integration.backend" else "backend_id"
            if name not in self.env[model]._fields:
                continue
            domain = [("id", "in", group.mapped("res_id")), (name, "in", backend_ids)]
            if "company_id" in self.env[model]._fields:
                domain.append(("company_id", "=", company.id))
            # sudo: see _erase_attachments
            records = self.env[model].sudo().with_context(active_test=False).search(domain)
            ids = set(records.ids)
            found |= group.filtered(lambda file, ids=ids: file.res_id in ids)
        return found
