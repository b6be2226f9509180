"""The service's own rules: records, lists, limits, faults, notifications."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
import time
from email.utils import parsedate_to_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests

from ..client import SimulatorError


def test_creating_twice_makes_two_rows_that_are_found_by_our_reference(service, ask):
    body = {"name": "Mug", "price": 5, "reference": "A"}
    first, second = (ask("POST", "products", json=body).json() for _ in range(2))
    assert first["id"] != second["id"]
    found = ask("GET", "products", params={"reference": "A,B"}).json()["rows"]
    assert [row["id"] for row in found] == [first["id"], second["id"]]
    assert [(w["action"], w["by"]) for w in service.journal("products")] == [("create", "api")] * 2


def test_batches_answer_for_each_row(ask):
    rows = [{"name": "Mug", "price": 5}, {"name": "Bad", "price": -1}, {"price": 1}]
    answers = ask("POST", "products/batch", json={"rows": rows}).json()["rows"]
    assert [answer.get("status") for answer in answers] == [None, 422, 422]
    changes = [{"id": answers[0]["id"], "price": 6}, {"id": "P99", "price": 1}]
    answers = ask("PUT", "products/batch", json={"rows": changes}).json()["rows"]
    assert answers[0]["price"] == 6 and answers[0]["name"] == "Mug"
    assert answers[1]["status"] == 404
    assert ask("POST", "products/batch", json={"rows": [{}] * 101}).status_code == 422


def test_list_is_paged_filtered_and_shows_tombstones(service, ask):
    service.configure(pageSize=2)
    ids = [service.create(name=f"Contact {n}")["id"] for n in range(5)]
    service.delete(ids[3])
    seen, page = [], None
    while page is not None or not seen:
        answer = ask("GET", "contacts", params={"page": page or "", "deleted": "1"}).json()
        seen += [(row["id"], row.get("deleted", False)) for row in answer["rows"]]
        page = answer["next"]
    assert sorted(seen) == [(row_id, row_id == ids[3]) for row_id in ids]
    service.configure(clockSkew=60)
    updated = service.update(ids[0], name="Changed")
    params = {"updated_since": updated["updated_at"]}
    rows = ask("GET", "contacts", params=params).json()["rows"]
    assert [row["name"] for row in rows] == ["Changed"]
    assert ask("GET", "contacts", params={"ids": f"{ids[3]},{ids[0]}"}).json()["rows"] == rows
    assert ask("GET", "contacts/count").json() == {"count": 4}


def test_payments_are_only_created(ask):
    row = ask("POST", "payments", json={"amount": 10, "reference": "X"}).json()
    assert ask("PUT", f"payments/{row['id']}", json={"amount": 1}).status_code == 405
    assert ask("DELETE", f"payments/{row['id']}").status_code == 405
    assert ask("GET", f"payments/{row['id']}").json()["amount"] == 10


def test_wrong_key_and_nonsense_are_refused(service, ask):
    ask.session.headers["Authorization"] = "Bearer wrong"
    assert ask("GET", "me").status_code == 401
    ask.session.headers["Authorization"] = "Bearer demo-key"
    assert ask("POST", "products", data=b"{").status_code == 400
    assert ask("GET", "contacts", params={"page": "?"}).status_code == 400
    assert ask("GET", "nothing").status_code == 404
    with pytest.raises(SimulatorError, match="unknown setting"):
        service.configure(pageSizes=1)


def test_rate_limit_of_all_calls_and_of_a_collection(service, ask):
    service.configure(rateLimits={"*": [0.01, 5], "payments": [0.005, 1]})
    assert ask("POST", "payments", json={"amount": 1}).status_code == 201
    refused = ask("POST", "payments", json={"amount": 1})
    assert refused.status_code == 429 and 100 < float(refused.headers["Retry-After"]) <= 200
    answers = [ask("GET", "me") for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200] * 4 + [429]
    assert [answer.headers["X-RateLimit-Remaining"] for answer in answers] == list("32100")
    assert answers[0].headers["X-RateLimit-Limit"] == "5"
    assert len(service.records("payments")) == 1


def test_clock_of_the_service_is_wrong(service, ask):
    service.configure(clockSkew=-3600)
    row = service.create(name="Anna")
    said = parsedate_to_datetime(ask("GET", "me").headers["Date"]).timestamp()
    assert abs(time.time() - 3600 - said) < 5
    assert row["updated_at"] < time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 3000))


@pytest.mark.parametrize(
    ("kind", "applied"),
    [
        ("timeout_before", 0),
        ("reset_before", 0),
        ("timeout_after", 1),
        ("reset_after", 1),
        ("hang", 1),
    ],
)
def test_no_answer(service, ask, kind, applied):
    service.fault(kind, seconds=0.5, endpoint="products.*")
    assert ask("GET", "me").ok
    with pytest.raises(requests.RequestException):
        ask("POST", "products", json={"name": "Mug"}, timeout=0.2)
    time.sleep(0.6)
    assert len(service.records("products")) == applied
    assert ask("POST", "products", json={"name": "Mug"}).ok, "one fault was ordered"


@pytest.mark.parametrize(
    ("kind", "status", "applied"),
    [
        ("too_many", 429, 0),
        ("server_error", 503, 0),
        ("server_error_after", 503, 1),
        ("html", 200, 0),
        ("html_after", 200, 1),
        ("truncated", 200, 1),
    ],
)
def test_wrong_answer(service, ask, kind, status, applied):
    service.fault(kind)
    answer = ask("POST", "products", json={"name": "Mug"})
    assert answer.status_code == status
    assert len(service.records("products")) == applied
    if status == 200:
        with pytest.raises(ValueError):
            answer.json()


def test_shares_are_the_same_for_the_same_seed(service, ask):
    def run():
        service.faults(seed=7, shares={"server_error": 0.3, "too_many": 0.2})
        return [ask("GET", "me").status_code for _ in range(60)]

    first = run()
    assert run() == first
    assert {200, 429} < set(first) and {500, 502, 503, 504} & set(first)
    service.clear_faults()
    assert {ask("GET", "me").status_code for _ in range(20)} == {200}


def test_outage_ends_by_itself(service, ask):
    service.outage(0.5, "server_error")
    assert ask("GET", "me").status_code == 503
    time.sleep(0.6)
    assert ask("GET", "me").ok


class Listener:
    """Takes notifications; answers the first ones with the given statuses, then 200."""

    def __init__(self, *statuses):
        self.received, left = [], list(statuses)

        class Handler(BaseHTTPRequestHandler):
            def do_POST(handler):
                body = handler.rfile.read(int(handler.headers["Content-Length"]))
                self.received.append((dict(handler.headers), body))
                handler.send_response(left.pop(0) if left else 200)
                handler.end_headers()

            def log_message(handler, *_arguments):
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def ids(self):
        return [json.loads(body)["id"] for _headers, body in self.received]


@pytest.fixture
def listener():
    listener = Listener(503)
    yield listener
    listener.server.shutdown()


@pytest.fixture
def subscribed(service, ask, listener):
    body = {"url": listener.url, "topics": ["contacts/created", "contacts/updated"]}
    assert ask("POST", "webhooks", json=body).status_code == 201
    service.configure(webhookBackoff=[0.05])
    return service


def test_notifications_are_signed_and_tried_again(subscribed, listener):
    row = subscribed.create(name="Anna")
    subscribed.delete(row["id"])  # nobody subscribed to that
    assert subscribed.wait_for_webhooks() == 0
    assert listener.ids() == [row["id"]] * 2, "the first answer was 503"
    headers, body = listener.received[1]
    expected = hmac.new(b"demo-secret", body, hashlib.sha256).hexdigest()
    assert headers["X-Signature"] == expected and headers["X-Topic"] == "contacts/created"
    assert headers["X-Event-Id"] == listener.received[0][0]["X-Event-Id"]


def test_notifications_get_lost_doubled_and_out_of_order(subscribed, listener):
    subscribed.webhook_faults(drop=0.3, duplicate=0.3, delay=[0, 0.3])
    ids = [subscribed.create(name=f"Contact {n}")["id"] for n in range(100)]
    assert subscribed.wait_for_webhooks() == 0
    came = listener.ids()
    once = list(dict.fromkeys(came))
    assert 50 < len(once) < 90 and len(came) > len(once) + 5
    assert once != sorted(once, key=ids.index)
    lost = [row for row in subscribed.webhook_log() if row["status"] == "dropped"]
    assert len(lost) == 100 - len(once)


def test_subscriptions_are_listed_and_removed(subscribed, ask, listener):
    (row,) = ask("GET", "webhooks").json()["rows"]
    assert row["url"] == listener.url
    assert ask("DELETE", f"webhooks/{row['id']}").ok
    assert ask("GET", "webhooks").json()["rows"] == []
    subscribed.create(name="Anna")
    assert subscribed.wait_for_webhooks() == 0 and not listener.received
