"""Runs `saver`: in this process, or as one of its own in a terminal or on a full disk."""

from __future__ import annotations

import inspect
import json
import os
import re
import resource
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from saver.cli import program
from saver.documents import Document

PATIENCE = 60
"""Seconds for which a command may be silent."""

pty = pytest.importorskip("pty")

STEERING = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
"""What colours and progress bars send to a terminal."""


def run(*arguments: str | Path, **variables: str) -> Result:
    """What a command prints on pipes, and its exit code."""
    return runner().invoke(program, [*map(str, arguments)], env=variables)


def runner() -> CliRunner:
    """Keeps standard output and error apart, which click before 8.2 does only on request."""
    apart = "mix_stderr" in inspect.signature(CliRunner).parameters
    return CliRunner(**({"mix_stderr": False} if apart else {}))


def run_json(*arguments: str | Path) -> Any:
    """The document that `--json` prints; it must be one that every reader takes."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    done = run(*arguments, "--json")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.isascii()
    document_of(done)
    return json.loads(done.stdout, parse_constant=refuse)


def document_of(done: Result) -> Document:
    """What a command printed: it decodes strictly into its document, and has nothing that this lacks."""
    found: Document = msgspec.json.decode(done.stdout, type=Document)
    assert json.loads(msgspec.json.encode(found)) == json.loads(done.stdout)
    return found


def error_of(done: Result, exit_code: int | None = None) -> str:
    """The message of a command that failed: one line on stderr, and nothing else. `exit_code` is that of a
    finding, misuse, what is missing, or another error (test_program tells which is which)."""
    assert done.exit_code == exit_code if exit_code is not None else done.exit_code in (2, 3, 4), done.output
    assert done.stdout == "", done.output
    assert re.fullmatch(r"error: [^\n]+\n", done.stderr), done.stderr
    return done.stderr


def run_in_a_terminal(
    *arguments: str | Path, width: int = 80, answer: str = "", exit_code: int = 0, **variables: str
) -> str:
    """What a command writes to a terminal of this width, where somebody types `answer` to a question."""
    main, side = pty.openpty()
    settings = {"TERM": "xterm-256color", "COLUMNS": str(width), "PYTHONIOENCODING": "utf-8"}
    inherited = {name: text for name, text in os.environ.items() if name != "NO_COLOR"}

    def sit_down() -> None:
        os.login_tty(side)
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    with subprocess.Popen(
        (sys.executable, "-m", "saver", *map(str, arguments)),
        pass_fds=(side,), preexec_fn=sit_down, env=inherited | settings | variables,
    ) as process:  # fmt: skip
        os.close(side)
        written = b""
        while True:
            if not select.select([main], [], [], PATIENCE)[0]:
                process.kill()
            try:
                block = os.read(main, 65536)
            except OSError:  # Linux says so when the other side is closed
                break
            if not block:
                break
            written += block
            if answer and written.endswith(b": "):
                time.sleep(0.5)  # a signal between the question and the reading would wait for a key
                os.write(main, answer.encode())
                answer = ""
        assert process.wait() == exit_code, written.decode()
    os.close(main)
    return written.decode().replace("\r\n", "\n")


def text_in_a_terminal(*arguments: str | Path, **options: Any) -> str:
    """The same without colours, and without what the bars left behind."""
    shown = STEERING.sub("", run_in_a_terminal(*arguments, **options))
    return "\n".join(line.rpartition("\r")[2].rstrip() for line in shown.split("\n"))


def run_where_nothing_can_be_written(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """A process whose files may not have a single byte, as on a full disk; also when root runs it."""
    return subprocess.run(
        (sys.executable, "-m", "saver", *map(str, arguments)),
        capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)),
    )  # fmt: skip


def printable(text: str) -> bool:
    """Whether nothing in a text steers a terminal."""
    return all(char.isprintable() or char == "\n" for char in text)


def contents(folder: Path) -> dict[str, bytes]:
    """All files of a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
