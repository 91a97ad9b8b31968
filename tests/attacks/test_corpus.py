"""Every file that the fuzzer ever kept is loaded and used again, under its watch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("sklearn")
pytest.importorskip("torch")

ROOT = Path(__file__).parents[2]
FILES = sorted((Path(__file__).parent / "corpus").glob("*.saver"))


def test_every_file_of_the_corpus_is_described() -> None:
    notes = (Path(__file__).parent / "corpus" / "README.md").read_text()
    assert FILES
    assert [path.name for path in FILES if f"`{path.name}`" not in notes] == []


@pytest.mark.slow
def test_no_file_of_the_corpus_does_anything_any_more() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.attacks.fuzz", "--replay", *map(str, FILES)],
        cwd=ROOT, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
