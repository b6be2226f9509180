"""Secrets at rest: readable with the keys, useless without, and errors that give nothing away."""

import os
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odoo.addons.integration_base.lib.crypto import (
    SecretBox,
    check_private,
    generate_key,
    load_keys,
    read_key_file,
)
from odoo.addons.integration_base.lib.errors import CredentialError, KeyUnavailable

OLD, NEW = generate_key(), generate_key()
SECRET = "shpat_canary"


@given(st.text())
def test_round_trip(secret):
    box = SecretBox([NEW])
    assert box.decrypt(box.encrypt(secret)) == secret


def test_stored_text_hides_the_secret_and_names_its_key():
    box = SecretBox([NEW])
    stored = box.encrypt(SECRET)
    assert SECRET not in stored
    assert stored.startswith(f"v1:{box.key_id}:")
    assert stored != box.encrypt(SECRET)


def test_rotation_is_resumable_and_lets_the_old_key_go():
    stored = [SecretBox([OLD]).encrypt(f"{SECRET}{n}") for n in range(4)]
    both = SecretBox([NEW, OLD])
    stored[:2] = [both.rotate(text) for text in stored[:2]]
    assert [both.needs_rotation(text) for text in stored] == [False, False, True, True]
    assert both.decrypt(stored[3]) == f"{SECRET}3"
    again = [both.rotate(text) for text in stored]
    assert again[:2] == stored[:2]
    assert [SecretBox([NEW]).decrypt(text) for text in again] == [f"{SECRET}{n}" for n in range(4)]


def test_missing_key_is_named_by_its_id():
    old = SecretBox([OLD])
    with pytest.raises(CredentialError, match=old.key_id):
        SecretBox([NEW]).decrypt(old.encrypt(SECRET))
    assert old.can_open(old.encrypt(SECRET))
    assert not SecretBox([NEW]).can_open(old.encrypt(SECRET))
    assert not old.can_open("nonsense")


@pytest.mark.parametrize("how", ["decrypt", "rotate"])
@pytest.mark.parametrize(
    "damage",
    [
        lambda stored: "",
        lambda stored: SECRET,
        lambda stored: stored[:-3],
        lambda stored: stored.replace("v1:", "v2:"),
        lambda stored: stored[:20] + ("A" if stored[20] != "A" else "B") + stored[21:],
        lambda stored: stored + "é",
        lambda stored: stored + "\n",
    ],
)
def test_damage_is_one_constant_sentence(damage, how):
    box = SecretBox([NEW, OLD])
    broken = damage(SecretBox([OLD]).encrypt(SECRET))
    with pytest.raises(CredentialError) as caught:
        getattr(box, how)(broken)
    assert "is damaged" in str(caught.value)
    assert caught.value.__context__ is None


@pytest.mark.parametrize("separator", [",", "\n", " , ", "\r\n", ",\n\n"])
def test_keys_are_separated_by_commas_or_lines(separator):
    assert load_keys(separator.join([NEW, OLD, NEW])) == [NEW, OLD]


@pytest.mark.parametrize("nothing", [None, "", "  ", ",\n"])
def test_no_key_fails_closed(nothing):
    with pytest.raises(KeyUnavailable, match="encryption_key"):
        load_keys(nothing)
    with pytest.raises(KeyUnavailable):
        SecretBox([])


@pytest.mark.parametrize(
    "bad",
    ["canary", NEW[:-2], NEW + "AA", "é" * 44],
    ids=["no key", "too short", "too long", "not ASCII"],
)
def test_bad_key_is_named_by_position_only(bad):
    with pytest.raises(KeyUnavailable, match="Key number 2") as caught:
        load_keys(f"{NEW},{bad}")
    assert bad not in str(caught.value)
    assert caught.value.__context__ is None


def test_repr_shows_no_key():
    assert NEW not in repr(SecretBox([NEW]))


def test_ids_of_keys_newest_first():
    box = SecretBox([NEW, OLD])
    assert box.key_ids == (SecretBox([NEW]).key_id, SecretBox([OLD]).key_id)
    assert not any(key in "".join(box.key_ids) for key in (NEW, OLD))


# === WHERE THE KEY IS === #


@pytest.fixture
def key_file(tmp_path):
    file = tmp_path / "key"
    file.write_text(f"{NEW}\n{OLD}\n")
    file.chmod(0o600)
    return file


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o640, 0o440])
def test_key_file_of_the_server_alone(key_file, mode):
    key_file.chmod(mode)
    assert load_keys(read_key_file(str(key_file))) == [NEW, OLD]


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o602, 0o601, 0o660, 0o777])
def test_key_file_that_others_can_open_is_refused(key_file, mode):
    key_file.chmod(mode)
    with pytest.raises(KeyUnavailable, match=f"mode is {mode:04o}.*chmod 600 ") as caught:
        read_key_file(str(key_file))
    assert NEW not in str(caught.value)


def test_key_file_that_another_group_can_read_is_refused(key_file, monkeypatch):
    key_file.chmod(0o640)
    monkeypatch.setattr(os, "getegid", lambda: key_file.stat().st_gid + 1)
    with pytest.raises(KeyUnavailable, match="0640"):
        check_private(key_file)


@pytest.mark.parametrize("how", ["owner", "mount"])
def test_key_file_that_cannot_be_corrected_is_warned_of(key_file, monkeypatch, caplog, how):
    """Secrets of containers belong to root, and can be read by everybody in the container."""
    key_file.chmod(0o444)
    if how == "owner":
        monkeypatch.setattr(os, "geteuid", lambda: key_file.stat().st_uid + 1)
    else:
        mount = SimpleNamespace(f_flag=os.ST_RDONLY)
        monkeypatch.setattr(os, "statvfs", lambda _path: mount)
    assert load_keys(read_key_file(str(key_file))) == [NEW, OLD]
    assert "Let nobody but the user of Odoo read it" in caplog.text


@pytest.mark.parametrize("content", [None, b"", b" \n", b"\xff\xfe"])
def test_key_file_without_a_key(tmp_path, content):
    file = tmp_path / "key"
    if content is not None:
        file.write_bytes(content)
        file.chmod(0o600)
    with pytest.raises(KeyUnavailable, match="cannot be read or is empty"):
        read_key_file(str(file))


def test_who_hides_secrets_learns_each():
    seen = []
    box = SecretBox([NEW, OLD], seen.append)
    assert seen == [NEW, OLD]
    stored = box.encrypt(SECRET)
    assert seen.pop() == SECRET
    assert box.decrypt(stored) == seen.pop() == SECRET
    with pytest.raises(CredentialError):
        box.decrypt("v1:0")
    assert seen == [NEW, OLD]
