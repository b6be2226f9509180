"""Talking to the person at the terminal: progress of long steps, and errors in one sentence."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path


class EnvironmentProblem(Exception):
    """The machine lacks something; the message is one sentence and the way out."""


def say(message: str) -> None:
    """Print one line at once, also into a pipe."""
    print(message, flush=True)


@contextmanager
def step(title: str) -> Iterator[None]:
    """Show `title` while the block runs: a clock on a terminal, a line every 20 s elsewhere."""
    started = time.monotonic()
    finished = threading.Event()
    terminal = sys.stdout.isatty()
    start_of_line = "\r\033[K" if terminal else ""

    def tick() -> None:
        while not finished.wait(1 if terminal else 20):
            seconds = time.monotonic() - started
            if terminal:
                print(f"\r... {title} {seconds:.0f} s", end="", flush=True)
            else:
                say(f"... {title} {seconds:.0f} s")

    if not terminal:
        say(f"... {title}")
    clock = threading.Thread(target=tick, daemon=True)
    clock.start()
    try:
        yield
    except BaseException:
        finished.set()
        clock.join()
        say(f"{start_of_line}!!! {title}: stopped after {time.monotonic() - started:.0f} s")
        raise
    finished.set()
    clock.join()
    say(f"{start_of_line}  ok {title} ({time.monotonic() - started:.1f} s)")


def run(
    command: Sequence[str | Path],
    problem: str,
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    log: Path | None = None,
    stdin: str | None = None,
    timeout: float = 1800,
) -> str:
    """Run a command and return its output; when it fails, say `problem` and its last lines.

    :param problem: the sentence for the reader, with the way out.
    :param log: file that receives the output instead of the return value.
    :raises EnvironmentProblem: command missing, failed or not done within `timeout` seconds.
    """
    command = [str(part) for part in command]
    environment = {**os.environ, **(env or {})}
    try:
        if log:
            log.parent.mkdir(parents=True, exist_ok=True)
            with log.open("w") as file:
                done = subprocess.run(
                    command, env=environment, cwd=cwd, stdin=subprocess.DEVNULL, stdout=file,
                    stderr=subprocess.STDOUT, text=True, timeout=timeout,
                )  # fmt: skip
            output = log.read_text(errors="replace") if done.returncode else ""
        else:
            done = subprocess.run(
                command, env=environment, cwd=cwd, input=stdin or "", stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, text=True, errors="replace", timeout=timeout,
            )  # fmt: skip
            output = done.stdout
    except FileNotFoundError as error:
        raise EnvironmentProblem(f"{problem} (the command {command[0]} does not exist)") from error
    except subprocess.TimeoutExpired as error:
        raise EnvironmentProblem(f"{problem} (no end after {timeout:.0f} s)") from error
    except OSError as error:
        raise EnvironmentProblem(f"{problem} ({error})") from error
    if done.returncode:
        # Who builds addons needs the end of the log, who lacks a network the last line.
        tail = output.strip().splitlines()[-12 if log else -2 :]
        raise EnvironmentProblem("\n".join([problem, *(f"    {line[:200]}" for line in tail)]))
    return output


def call(
    command: Sequence[str | Path], environment: Mapping[str, str], cwd: Path | None = None
) -> int:
    """Run a program in this terminal; returns its exit code. On Ctrl-C it ends by itself."""
    process = subprocess.Popen([str(part) for part in command], env=dict(environment), cwd=cwd)
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue
