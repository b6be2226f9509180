"""The harness itself, on few records: what it reports, and what costs are counted in.

Times are not looked at: they belong to `./run bench` on a machine that does nothing else.
"""

import json
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from runtime import paths

from . import load
from .case import Case, Result, Sample, all_cases
from .server_log import ServerLog

TIMEOUT = 600

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """What the harness reports of its cases, by their names."""
    file = tmp_path_factory.mktemp("bench") / "rows.json"
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench", "--rounds=1", "--scale=0.02", f"--json={file}"],
        cwd=paths.ROOT,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )
    # 1 when a ratio misses its gate, which says nothing with so few records
    assert done.returncode in (0, 1) and file.exists(), done.stderr
    return {row["name"]: row for row in json.loads(file.read_text())}


def test_every_case_reports_what_was_asked(rows):
    assert set(rows) == set(all_cases())
    for row in rows.values():
        assert row["ratio"] > 0 and row["rate"] > 0 and row["floor_rate"] > 0, row
        assert row["ratio_min"] <= row["ratio"] <= row["ratio_max"], row
        assert {"queries_per_record", "calls_per_record", "gate", "passed"} <= set(row)
        assert row["problems"] == [], row


def test_an_operation_costs_queries_by_the_batch(rows):
    assert 1 < rows["queue_1"]["queries_per_record"] < 8
    # 200 operations in 2 batches, and what a job costs by itself
    assert rows["queue_100"]["queries_per_record"] < 0.5
    assert rows["queue_1"]["calls_per_record"] == rows["queue_100"]["calls_per_record"] == 0


def test_a_notification_costs_few_queries(rows):
    assert rows["webhook"]["queries_per_record"] < 20
    assert rows["duplicates"]["rows"] == 1


def test_orders_are_fetched_in_sets_and_none_fails(rows):
    # 2 orders in one call; 10 orders in one or more batches
    assert rows["orders"]["calls_per_record"] == 0.5
    assert rows["burst"]["calls_per_record"] <= 0.5
    for name in ("orders", "burst"):
        assert (rows[name]["dead_letters"], rows[name]["not_done"]) == (0, 0)
    assert rows["orders"]["queries_per_record"] > 0
    assert rows["orders"]["floor_queries_per_record"] > 0


def test_a_catalogue_arrives_whole_and_a_second_time_not_at_all(rows):
    row = rows["catalogue"]
    assert (row["missing"], row["dead_letters"]) == (0, 0)
    assert (row["second_run_wrote"], row["second_run_changed"]) == (False, 0)


def test_each_case_says_what_it_measures_and_what_its_floor_is():
    for name, case in all_cases().items():
        assert "Floor: " in (case.__doc__ or ""), name


def test_ratio_is_the_median_of_neighbours():
    class Some(Case):
        gate = 2

    fast, slow = Sample(100, 1.0, queries=300, calls=10), Sample(100, 10.0, queries=300)
    floors = [Sample(10, 0.2), Sample(10, 1.0), Sample(10, 0.2)]
    result = Result(Some, [fast, slow, fast], floors, [])
    assert result.ratios == [2, 1, 2]
    row = result.row()
    assert (row["ratio"], row["ratio_min"], row["ratio_max"]) == (2, 1, 2)
    assert (row["queries_per_record"], row["calls_per_record"]) == (3, 0.0667)
    assert row["passed"] and not Result(Some, [slow], [floors[1]], []).passed
    assert not Result(Some, [fast], [floors[0]], ["Something else is wrong."]).passed


class Answering(BaseHTTPRequestHandler):
    """Answers 201 to one body, and 500 to every other."""

    protocol_version = "HTTP/1.1"
    seen: list[bytes] = []

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.seen.append(body)
        self.send_response(201 if body == b"good" else 500)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_arguments):
        """Nobody reads it."""


def test_the_load_generator_sends_each_request_once():
    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        requests = [load.post(url, {"X-Some": "header"}, b"good")] * 50
        requests += [load.post(url, {}, b"bad")] * 7
        outcome = load.send(url, requests, connections=4)
        server.shutdown()
    assert outcome.statuses == {201: 50, 500: 7}
    assert (Answering.seen.count(b"good"), Answering.seen.count(b"bad")) == (50, 7)
    assert load.send(url, requests[:3], connections=1).statuses == {0: 3}, "nobody listens there"


def test_the_log_tells_requests_and_errors(tmp_path):
    file = tmp_path / "odoo.log"
    file.write_text("2026-11-21 03:00:00,000 7 ERROR db odoo.http: before\n")
    log = ServerLog(file)
    position = log.position()
    with file.open("a") as opened:
        opened.write(
            "2026-11-21 03:00:01,000 7 INFO db werkzeug: 127.0.0.1 - - [21/Nov/2026 03:00:01] "
            '"GET /queue_job/runjob?job_uuid=1 HTTP/1.1" 200 - 15 0.004 0.010\n'
            "2026-11-21 03:00:01,000 7 INFO db werkzeug: 127.0.0.1 - - [21/Nov/2026 03:00:01] "
            '"POST /web HTTP/1.1" 503 - 2 0.004 0.010\n'
            f"2026-11-21 03:00:02,000 7 ERROR db odoo.sql_db: bad query: {'x' * 500}\n"
            "Traceback ...\n"
        )
    (request,) = log.requests(position, "/queue_job")
    assert (request.status, request.queries, request.sql_seconds) == (200, 15, 0.004)
    (error,) = log.errors(position)
    assert "bad query: xxx" in error and len(error) == 200
