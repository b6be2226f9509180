"""Services start when they answer, and leave no process behind, however they or we end."""

import os
import signal
import subprocess
import sys
import time

import pytest
from runtime import server, usage


def wait_for(condition, seconds=15):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


@pytest.fixture
def service(tmp_path):
    """A web server that has a child process."""
    port = server.free_port()
    command = f"sleep 1000 & exec {sys.executable} -m http.server --bind {server.HOST} {port}"
    made = server.Service(
        "a web server",
        ["sh", "-c", command],
        os.environ,
        tmp_path / "log",
        f"http://{server.HOST}:{port}/",
    )
    made.port = port
    yield made
    made.kill()


def is_gone(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_nothing_is_left(service, how):
    service.start()
    group = service.pid
    getattr(service, how)()
    wait_for(lambda: is_gone(group))
    assert server.is_free(service.port)
    service.start()
    assert service.pid != group


def test_stop_twice_and_before_the_start(service):
    service.stop()
    service.start()
    service.ask_to_stop()
    service.stop()
    service.stop()
    assert service.pid is None


def test_ends_with_its_parent(service):
    script = f"""
import os, sys
from pathlib import Path
from runtime import server
service = server.Service("it", {service.command!r}, os.environ, Path({str(service.log)!r}),
                         {service.probe!r})
service.start()
print(service.pid, flush=True)
sys.stdin.read()
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as parent:
        pid = int(parent.stdout.readline())
        assert not server.is_free(service.port)
        parent.send_signal(signal.SIGKILL)
    wait_for(lambda: server.is_free(service.port))
    os.killpg(pid, signal.SIGKILL)  # the sleep; Odoo's workers watch their parent themselves


def test_last_user_is_known(tmp_path, monkeypatch):
    monkeypatch.setattr(usage.paths, "STATE", tmp_path)
    first, second = usage.Usage(), usage.Usage()
    first.begin()
    second.begin()
    assert not first.is_last()
    second.end()
    assert first.is_last()
    first.end()
