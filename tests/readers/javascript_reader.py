"""The JavaScript reader as a program: what it says of files, as JSON."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

READER = Path(__file__).parents[2] / "readers" / "javascript"


def node() -> str:
    """The path of Node, of version 18 or later. Skips the test without one."""
    found = shutil.which("node")
    if found is None:
        pytest.skip("needs Node 18 or later")
    version = subprocess.run([found, "--version"], capture_output=True, text=True, check=True).stdout
    if int(version.removeprefix("v").partition(".")[0]) < 18:
        pytest.skip(f"needs Node 18 or later, this is {version.strip()}")
    return found


def package(name: str) -> Path:
    """A program of a package of npm, from NODE_PATH or PATH. Skips the test without one."""
    for folder in os.environ.get("NODE_PATH", "").split(os.pathsep):
        path = Path(folder) / ".bin" / name
        if folder and path.exists():
            return path
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"needs {name}, in PATH, or in .bin of a folder in NODE_PATH")
    return Path(found)


def ask(job: str, **given: Any) -> Any:
    """What the reader answers."""
    text = json.dumps({"job": job, **given}, default=str)
    done = subprocess.run(
        [node(), str(READER / "test" / "show.mjs")], input=text, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def verdicts(paths: list[Path]) -> list[dict[str, Any]]:
    """What the program for the corpus says of each file."""
    done = subprocess.run(
        [node(), str(READER / "bin" / "saver-read.js"), "--stdin"],
        input="".join(f"{path}\n" for path in paths), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return [json.loads(line) for line in done.stdout.splitlines()]
