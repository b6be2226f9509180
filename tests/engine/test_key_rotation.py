"""The key is changed by the documented command, which is killed in the middle and run again."""

import json
import os
import signal
import subprocess

import pytest
from cryptography.fernet import Fernet
from runtime import paths

from odoo.addons.integration_base.lib.crypto import SecretBox
from odoo.addons.integration_base.models.integration_credential import KEY_VARIABLE

ROWS = 1000
COMMAND = 'print(env["integration.credential"]._rotate_keys())\n'
#: SIGKILL when the third batch is written and not committed.
KILL = """
import os, signal
Credential = type(env["integration.credential"])
rotate_batch, batches = Credential._rotate_batch, []
def killed(*arguments):
    result = rotate_batch(*arguments)
    batches.append(result)
    if len(batches) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return result
Credential._rotate_batch = killed
"""


@pytest.fixture
def shell(engine, project):
    """Run the shell of Odoo as README says, with an input."""
    config = project.write_config(
        paths.STATE / f"{engine.registry.db_name}.conf",
        db_name=engine.registry.db_name,
        workers=0,
        max_cron_threads=0,
    )

    def run(text, keys):
        return subprocess.run(
            project.odoo_command(config, "shell", "--no-http"),
            input=text,
            env={**os.environ, KEY_VARIABLE: keys},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    yield run
    config.unlink()


def test_killed_and_run_again(engine, shell):
    old = os.environ[KEY_VARIABLE]
    new = Fernet.generate_key().decode()
    box = SecretBox([old])
    with engine.env() as env:
        env.cr.execute_values(
            "INSERT INTO integration_credential"
            " (backend_id, environment, active, code, ciphertext, kind, is_set) VALUES %s",
            [
                (engine.backend_id, "sandbox", True, f"c{n}", box.encrypt(f"v-{n}"), "typed", True)
                for n in range(ROWS)
            ],
        )
    killed = shell(KILL + COMMAND, f"{new},{old}")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    newest = f"v1:{SecretBox([new]).key_id}:"

    def rotated():
        return engine.sql(
            "SELECT count(*) FROM integration_credential WHERE starts_with(ciphertext, %s)", newest
        )[0][0]

    assert rotated() == 400
    again = shell(COMMAND, f"{new},{old}")
    assert again.returncode == 0, again.stderr
    result = json.loads(again.stdout.strip().splitlines()[-1].replace("'", '"'))
    assert result == {"rotated": ROWS + 1 - 400, "unreadable": []}
    assert rotated() == ROWS + 1
    only_new = SecretBox([new])
    stored = dict(engine.sql("SELECT code, ciphertext FROM integration_credential"))
    assert only_new.decrypt(stored.pop("secret")) == "s3cr3t-canary"
    assert {code: only_new.decrypt(text) for code, text in stored.items()} == {
        f"c{n}": f"v-{n}" for n in range(ROWS)
    }
    assert not any(key in killed.stdout + killed.stderr + again.stderr for key in (old, new))
