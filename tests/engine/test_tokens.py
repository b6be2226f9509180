"""Several workers that need a token at the same moment, each with a transaction of its own."""

import time

import pytest

from odoo.addons.integration_base.lib.auth import ACCESS_TOKEN, REFRESH_TOKEN
from odoo.addons.integration_base.lib.errors import RetryableError, TokenRefused
from odoo.addons.integration_base.models import integration_auth


@pytest.fixture
def door(engine, common):
    """The service, and a backend to which a person has granted access."""
    auth_service = common.auth_service
    door = auth_service.AuthService()
    with engine.env() as env:
        backend = env["integration.backend"].create(
            {
                "name": "Door",
                "connector": "door",
                "base_url": door.url,
                "auth_kind": "door.authorization_code",
            }
        )
        for credential in backend.credential_ids:
            credential.value = auth_service.SECRETS[credential.code]
        door.backend_id = backend.id
    with engine.env() as env:
        backend = env["integration.backend"].browse(door.backend_id)
        pending, url = env["integration.auth"]._begin_consent(backend, "state", "v" * 43)
        env["integration.auth"]._complete_consent(backend, door.consent(url), pending)
    yield door
    door.close()


def stored(engine, door, code):
    with engine.env() as env:
        return env["integration.backend"].browse(door.backend_id)._token(code)


def worker(engine, door, renew=False):
    """Return a worker's part: it looks at its token, and gets another one if it has to."""

    def work():
        with engine.env() as env:
            backend = env["integration.backend"].browse(door.backend_id)
            connector = backend._connector()
            # its snapshot begins before anybody renews
            backend._token(ACCESS_TOKEN)
            if renew:
                connector._renew_auth(backend)
            return connector._auth_headers(backend)["Authorization"]

    return work


def expire(engine):
    engine.sql(
        "UPDATE integration_credential SET expires_at = now() - interval '1 hour'"
        " WHERE code = 'oauth_access'"
    )


def test_one_renewal_for_all_that_find_it_expired(engine, door):
    expire(engine)
    door.delay = 0.3
    answers = engine.together(*[worker(engine, door)] * 6)
    assert len(door.forms) == 2, "the consent and one renewal"
    assert len(set(answers)) == 1
    assert answers[0].removeprefix("Bearer ") in door.access
    assert stored(engine, door, REFRESH_TOKEN) in door.refresh


def test_one_renewal_for_all_that_are_refused(engine, door):
    door.access.clear()
    door.delay = 0.3
    answers = engine.together(*[worker(engine, door, renew=True)] * 6)
    assert [form["grant_type"] for form in door.forms] == ["authorization_code", "refresh_token"]
    assert len(set(answers)) == 1
    assert answers[0].removeprefix("Bearer ") in door.access


def test_rotation_survives_many_rounds(engine, door):
    """A refresh token used twice would end all access, as services do when one was stolen."""
    for _round in range(5):
        expire(engine)
        engine.together(*[worker(engine, door)] * 4)
    assert len(door.forms) == 6
    assert stored(engine, door, REFRESH_TOKEN) in door.refresh


def test_token_survives_the_rollback_of_the_work_that_got_it(engine, door):
    expire(engine)

    def fail():
        with engine.env() as env:
            backend = env["integration.backend"].browse(door.backend_id)
            backend.name = "Changed"
            backend._connector()._auth_headers(backend)
            raise ValueError

    with pytest.raises(ValueError):
        fail()
    assert stored(engine, door, ACCESS_TOKEN) in door.access
    assert stored(engine, door, REFRESH_TOKEN) in door.refresh
    assert engine.sql("SELECT name FROM integration_backend WHERE id = %s", door.backend_id) == [
        ("Door",)
    ]


def test_new_refresh_token_is_stored_before_anything_else_can_fail(engine, door, monkeypatch):
    """The service has ended the old one: whoever loses the new one is locked out."""
    expire(engine)
    backend_class = engine.registry["integration.backend"]
    store = backend_class._store_token

    def killed(backend, code, *arguments, **options):
        if code == ACCESS_TOKEN:
            raise KeyboardInterrupt
        return store(backend, code, *arguments, **options)

    with monkeypatch.context() as patcher:
        patcher.setattr(backend_class, "_store_token", killed)
        with pytest.raises(KeyboardInterrupt):
            worker(engine, door)()
    assert stored(engine, door, REFRESH_TOKEN) in door.refresh
    assert worker(engine, door)().removeprefix("Bearer ") in door.access


def test_token_of_an_address_that_was_changed_meanwhile(engine, door):
    """The token was issued by another service than the one the backend leads to now."""
    expire(engine)
    door.delay = 1.5

    def move():
        time.sleep(0.5)
        with engine.env() as env:
            backend = env["integration.backend"].browse(door.backend_id)
            backend.base_url = f"{door.url}/another"

    with pytest.raises(RetryableError, match="settings of Door were changed"):
        engine.together(worker(engine, door), move)
    assert len(door.forms) == 2
    tokens = "SELECT code FROM integration_credential WHERE kind = 'token' AND backend_id = %s"
    assert engine.sql(tokens, door.backend_id) == []


def test_token_asked_for_by_whoever_changes_the_backend(engine, door):
    """The lock on the settings does not wait for the transaction that needs the token."""
    expire(engine)
    with engine.env() as env:
        backend = env["integration.backend"].browse(door.backend_id)
        backend.name = "Changed"
        env.flush_all()
        backend._connector()._auth_headers(backend)
    assert stored(engine, door, ACCESS_TOKEN) in door.access


def test_refusal_while_others_wait(engine, door):
    expire(engine)
    door.revoke()
    refused = []

    def work():
        try:
            worker(engine, door)()
        except TokenRefused as error:
            refused.append(error)

    engine.together(*[work] * 3)
    assert len(refused) == 3


def test_nobody_waits_for_ever(engine, door, monkeypatch):
    expire(engine)
    monkeypatch.setattr(integration_auth, "LOCK_SECONDS", 1)
    door.delay = 4
    results = []

    def work():
        try:
            results.append(worker(engine, door)())
        except RetryableError as error:
            assert error.outcome == "not_sent"
            results.append(None)

    engine.together(work, work)
    assert sorted(bool(result) for result in results) == [False, True]
    assert len(door.forms) == 2
