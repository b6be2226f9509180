"""Real transactions, a real network and killed processes: one refund, whatever happens."""

import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading

from odoo import SUPERUSER_ID, api
from odoo.modules.registry import Registry
from odoo.tests import BaseCase, get_db_name, tagged
from odoo.tools import SQL, config, mute_logger

from ..lib.errors import InvalidPayloadError, NotReadyError, RequestRefused, RetryableError
from ..lib.http import HttpClient
from ..models.integration_intent import LOCK_INTENT

#: Seconds that nothing takes, however busy the machine is.
PATIENCE = 120
ANSWER = b"HTTP/1.1 %d Status\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"


class RefundService:
    """A service that refunds: what it did is in ``refunds``, whatever its client has heard of it.

    :param honours_keys: whether a key it knows gets the saved answer instead of another refund.
    """

    def __init__(self, honours_keys):
        self.refunds = []
        self.honours_keys = honours_keys
        self.saved = {}
        self.faults = []
        self.posts = 0
        self.released = threading.Event()
        self.arrived = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self.released.set()
        with contextlib.suppress(OSError):
            # wakes the thread that waits in accept()
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self):
        while True:
            try:
                connection, _address = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with connection:
            stream = connection.makefile("rb")
            method, path, _version = stream.readline().split()
            headers = {}
            while line := stream.readline().strip():
                name, _colon, value = line.decode().partition(":")
                headers[name.lower()] = value.strip()
            stream.read(int(headers.get("content-length", 0)))
            if method == b"GET":
                key = path.decode().rpartition("=")[2]
                found = [refund for refund in self.refunds if refund["key"] == key]
                self._answer(connection, 200, {"found": found})
            else:
                self._refund(connection, headers["idempotency-key"])

    def _refund(self, connection, key):
        self.posts += 1
        fault = self.faults.pop(0) if self.faults else None
        self.arrived.set()
        if fault == "stuck":
            self.released.wait(PATIENCE)
        if fault in ("drop", "stuck"):  # before the effect
            return
        if self.honours_keys and key in self.saved:
            self._answer(connection, *self.saved[key])
            return
        if fault == "refuse":
            self.saved[key] = 400, {"error": "amount"}
        elif fault == "error":
            self.saved[key] = 500, {"error": "internal"}
        else:
            self.refunds.append({"id": f"re_{len(self.refunds) + 1}", "key": key})
            self.saved[key] = 200, self.refunds[-1]
        if fault == "reset":
            # no lingering: the client gets a reset instead of an end
            linger = struct.pack("ii", 1, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        elif fault in ("hang", "wait"):
            self.released.wait(PATIENCE)
        if fault == "truncate":
            body = json.dumps(self.saved[key][1]).encode()[:-3]
            connection.sendall(ANSWER % (200, len(body), body))
        elif fault not in ("swallow", "reset", "hang"):
            self._answer(connection, *self.saved[key])

    def _answer(self, connection, status, data):
        body = json.dumps(data).encode()
        connection.sendall(ANSWER % (status, len(body), body))


#: Refunds once more in a process that is killed meanwhile.
SCRIPT = """
import sys
from odoo import SUPERUSER_ID, api
from odoo.modules.registry import Registry
from odoo.tools import config
config.parse_config(["-c", sys.argv[1], "-d", sys.argv[2], "--log-level=critical"])
from odoo.addons.integration_base.tests.test_intent_faults import refund
with Registry(sys.argv[2]).cursor() as cr:
    env = api.Environment(cr, SUPERUSER_ID, {})
    print(refund(env, int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]))
"""


def refund(env, backend_id, partner_id, url, request=None, timeout=PATIENCE, **options):
    """Refund as a connector does it."""
    client = HttpClient(url, allow_insecure=True, timeout=(timeout,) * 3)
    backend = env["integration.backend"].browse(backend_id)
    partner = env["res.partner"].browse(partner_id)

    def call(key):
        headers = {"Idempotency-Key": key}
        return client.post("/refunds", json={}, headers=headers).json()["id"]

    def recover(key):
        found = client.get("/refunds", params={"key": key}).json()["found"]
        return found[0]["id"] if found else None

    with backend._intent("refund", partner, request=request) as intent:
        return intent.send(call, recover, **options)


@tagged("post_install", "-at_install")
class TestIntentFaults(BaseCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.registry = Registry(get_db_name())
        with cls.registry.cursor() as cr:
            env = api.Environment(cr, SUPERUSER_ID, {})
            # by SQL: there is no connector to choose in the form
            Backend = env["integration.backend"]
            required = [f.name for f in Backend._fields.values() if f.store and f.required]
            values = {
                **Backend.default_get(required),
                "name": "Refunds",
                "connector": "none",
                "state": "active",
                "active": True,
                "database_identity": Backend._this_database(),
            }
            cr.execute(
                SQL(
                    "INSERT INTO integration_backend (%s) VALUES %s RETURNING id",
                    SQL(", ").join(map(SQL.identifier, values)),
                    tuple(values.values()),
                )
            )
            cls.backend_id = cr.fetchone()[0]
        cls.addClassCleanup(
            cls.execute, "DELETE FROM integration_backend WHERE id = %s", cls.backend_id
        )

    @classmethod
    def execute(cls, query, *parameters):
        with cls.registry.cursor() as cr:
            cr.execute(query, parameters)
            return cr.fetchall() if cr.description else []

    def setUp(self):
        super().setUp()
        with self.registry.cursor() as cr:
            env = api.Environment(cr, SUPERUSER_ID, {})
            self.partner_id = env["res.partner"].create({"name": "Payment 7"}).id
        self.addCleanup(self.execute, "DELETE FROM res_partner WHERE id = %s", self.partner_id)
        self.addCleanup(
            self.execute, "DELETE FROM integration_intent WHERE backend_id = %s", self.backend_id
        )

    def service(self, honours_keys=False):
        service = RefundService(honours_keys)
        self.addCleanup(service.close)
        return service

    def refund(self, service, **options):
        """Refund in a transaction that is rolled back at the end, as if all else had failed."""
        cr = self.registry.cursor()
        try:
            env = api.Environment(cr, SUPERUSER_ID, {})
            return refund(env, self.backend_id, self.partner_id, service.url, **options)
        finally:
            cr.rollback()
            cr.close()

    def outcome(self):
        rows = self.execute(
            "SELECT outcome FROM integration_intent WHERE backend_id = %s", self.backend_id
        )
        return [row[0] for row in rows]

    def pass_time(self):
        self.execute("UPDATE integration_intent SET started_at = started_at - interval '1 hour'")

    def test_lost_answers(self):
        """The refund happened, the answer did not come: it is looked up, never sent again."""
        for fault in ("swallow", "reset", "hang", "truncate"):
            with self.subTest(fault):
                service = self.service()
                service.faults = [fault]
                with self.assertRaises((RetryableError, InvalidPayloadError)):
                    self.refund(service, timeout=1 if fault == "hang" else PATIENCE)
                self.assertEqual(self.outcome(), ["unknown"])
                self.assertEqual(self.refund(service), "re_1")
                self.assertEqual(self.refund(service), "re_1")
                self.assertEqual((len(service.refunds), service.posts), (1, 1))
                self.execute("DELETE FROM integration_intent")

    def test_lost_requests(self):
        service = self.service()
        service.faults = ["drop"]
        with self.assertRaises(RetryableError):
            self.refund(service)
        with self.assertRaises(NotReadyError):
            self.refund(service)
        self.pass_time()
        self.assertEqual(self.refund(service), "re_1")
        self.assertEqual((len(service.refunds), service.posts), (1, 2))

    def test_unreachable_service(self):
        closed = self.service()
        closed.close()
        with self.assertRaises(RetryableError):
            self.refund(closed)
        self.assertEqual(self.outcome(), ["not_sent"])
        service = self.service()
        self.assertEqual(self.refund(service), "re_1")
        self.assertEqual((len(service.refunds), service.posts), (1, 1))

    def test_refused_then_corrected_at_a_service_that_saves_refusals(self):
        service = self.service(honours_keys=True)
        service.faults = ["refuse"]
        with self.assertRaises(RequestRefused):
            self.refund(service, request={"amount": "12.00"})
        self.assertEqual(self.refund(service, request={"amount": "10.00"}), "re_1")
        self.assertEqual(len(service.refunds), 1)

    def test_saved_server_error_does_not_last(self):
        service = self.service(honours_keys=True)
        service.faults = ["error"]
        for _try in range(2):
            with self.assertRaises(RetryableError):
                self.refund(service, late_seconds=0)
        self.pass_time()
        self.assertEqual(self.refund(service, late_seconds=0), "re_1")
        self.assertEqual(len(service.refunds), 1)

    def test_late_request_beside_its_repetition(self):
        """The lost request arrives after we have asked for it: an honoured key merges the two."""
        service = self.service(honours_keys=True)
        service.faults = ["drop"]
        with self.assertRaises(RetryableError):
            self.refund(service, late_seconds=0)
        self.assertEqual(self.refund(service, late_seconds=0), "re_1")
        self.assertEqual((len(service.refunds), service.posts), (1, 2))

    def test_two_workers_at_once(self):
        service = self.service()
        service.faults = ["wait"]
        results = []
        first = threading.Thread(
            target=lambda: results.append(self.refund(service)), name="first refund"
        )
        first.start()
        self.assertTrue(service.arrived.wait(PATIENCE))
        with self.assertRaisesRegex(NotReadyError, "at this moment"):
            self.refund(service)
        service.released.set()
        first.join(PATIENCE)
        self.assertEqual(results, ["re_1"])
        self.assertEqual(self.refund(service), "re_1")
        self.assertEqual((len(service.refunds), service.posts), (1, 1))

    def test_many_workers_at_once(self):
        service = self.service()
        outcomes = []

        def work():
            try:
                outcomes.append(self.refund(service))
            except NotReadyError:
                outcomes.append("waits")

        workers = [threading.Thread(target=work) for _number in range(6)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(PATIENCE)
        self.assertEqual(len(outcomes), 6)
        self.assertIn("re_1", outcomes)
        self.assertLessEqual(set(outcomes), {"re_1", "waits"})
        self.assertEqual((len(service.refunds), service.posts), (1, 1))

    def test_record_of_an_open_transaction_is_refused(self):
        service = self.service()
        with self.registry.cursor() as cr:
            env = api.Environment(cr, SUPERUSER_ID, {})
            partner = env["res.partner"].create({"name": "Not committed"})
            with self.assertRaisesRegex(RuntimeError, "not committed"):
                refund(env, self.backend_id, partner.id, service.url)
            cr.rollback()
        self.assertEqual(service.posts, 0)

    @mute_logger("odoo.sql_db", "odoo.addons.integration_base.models.integration_intent")
    def test_connection_lost_during_the_call(self):
        service = self.service()
        service.faults = ["wait"]
        results = []
        worker = threading.Thread(target=lambda: results.append(self.refund(service)))
        worker.start()
        self.assertTrue(service.arrived.wait(PATIENCE))
        killed = self.execute(
            "SELECT pg_terminate_backend(l.pid) FROM pg_locks l"
            "  JOIN pg_database d ON d.oid = l.database"
            " WHERE d.datname = current_database() AND l.locktype = 'advisory'"
            "   AND l.classid = %s",
            LOCK_INTENT,
        )
        self.assertEqual(killed, [(True,)])
        service.released.set()
        worker.join(PATIENCE)
        self.assertEqual(results, ["re_1"])
        self.assertEqual(self.outcome(), ["sent"])
        self.assertEqual(self.refund(service), "re_1")
        self.assertEqual((len(service.refunds), service.posts), (1, 1))

    def test_process_killed_after_the_effect(self):
        service = self.service()
        service.faults = ["wait"]
        self.kill_while_refunding(service)
        self.assertEqual((len(service.refunds), self.outcome()), (1, ["new"]))
        self.assertEqual(self.refund(service), "re_1")
        self.assertEqual((len(service.refunds), service.posts), (1, 1))
        self.assertEqual(self.outcome(), ["sent"])

    def test_process_killed_before_the_effect(self):
        service = self.service()
        service.faults = ["stuck"]
        self.kill_while_refunding(service)
        self.assertEqual((len(service.refunds), self.outcome()), (0, ["new"]))
        with self.assertRaisesRegex(NotReadyError, "may still arrive"):
            self.refund(service)
        self.pass_time()
        self.assertEqual(self.refund(service), "re_1")
        self.assertEqual((len(service.refunds), service.posts), (1, 2))

    def kill_while_refunding(self, service):
        process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                SCRIPT,
                config["config"],
                get_db_name(),
                str(self.backend_id),
                str(self.partner_id),
                service.url,
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self.addCleanup(process.stdout.close)
        arrived = service.arrived.wait(PATIENCE)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        self.assertTrue(arrived, process.stdout.read().decode(errors="replace"))
