"""Lint, format, types and plain English hold for everyone who runs the tests."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

PHRASES = {
    r"\bwhoever\b": "anyone, or a noun",
    r"\btold\b": "reported, recorded, given",
    r"(?<![Tt]here )\b(?:is|are) none\b": "the word that is meant: missing, invalid, empty",
    r"(?<![Tt]here )\bis no (?!longer\b|more\b|other\b|less\b|reason\b)": "is not a",
    r"\b(?:is|are|was|were) asked for\b": "requested",
    r"\b(?:come|comes|came) of it\b": "the outcome, the result",
    r"\b[Ww]hat lies\b": "the contents",
    r"\b[Bb]egan again\b": "started from the beginning",
    r"\bnot any more\b": "no longer",
}
"""Inversions and riddles of earlier texts, as patterns, and what to write instead. Only those are listed that
plain sentences hardly ever need."""

LEFT_OUT = ("docs/reliability-mutants.md", "tests/test_style.py")
"""A page that is made from the names of tests, and this file, which lists the phrases."""


@pytest.mark.slow
@pytest.mark.parametrize(
    "command", [["ruff", "check", "."], ["ruff", "format", "--check", "."], ["mypy"]], ids=" ".join
)
def test_the_house_is_in_order(command: list[str]) -> None:
    pytest.importorskip(command[0])
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """What people read in a file, with its line: strings, comments, names of tests, paragraphs of a page."""
    content = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        yield from (
            (content[: found.start()].count("\n") + 1, found[0]) for found in PARAGRAPH.finditer(content)
        )
        return
    for line, text in strings(content):
        yield line, CODE.sub("", text)


def strings(content: str) -> Iterator[tuple[int, str]]:
    """Strings, comments and names of tests. From Python 3.12 on, an f-string is several tokens."""
    lines, depth, first = content.splitlines(keepends=True), 0, (1, 0)
    for token in tokenize.generate_tokens(io.StringIO(content).readline):
        kind = tokenize.tok_name[token.type]
        if kind.endswith("STRING_START"):
            first, depth = first if depth else token.start, depth + 1
        elif kind.endswith("STRING_END"):
            depth -= 1
            if depth == 0:
                whole = "".join(lines[first[0] - 1 : token.end[0]])
                yield first[0], whole[first[1] : len(whole) - len(token.line) + token.end[1]]
        elif depth == 0 and kind in ("STRING", "COMMENT"):
            yield token.start[0], token.string
        elif depth == 0 and kind == "NAME" and token.string.startswith("test_"):
            yield token.start[0], token.string.replace("_", " ")


CODE = re.compile(r"\{[^{}]*\}|`[^`]*`")
"""What is in braces or backticks."""

PARAGRAPH = re.compile(r"(?:.+\n?)+")


def riddles(path: Path) -> Iterator[str]:
    """The phrases in a file that are to be written otherwise, each with its place."""
    for line, text in texts(path):
        for pattern, instead in PHRASES.items():
            for found in re.finditer(pattern, " ".join(text.split())):
                yield f"{path.relative_to(ROOT)}:{line}: {found[0]!r}; write: {instead}"


def test_sentences_are_plain() -> None:
    files = [
        *(ROOT / "src").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py"),
        *(ROOT / "tests").rglob("*.py"), *(ROOT / "docs").glob("*.md"), ROOT / "README.md",
    ]  # fmt: skip
    checked = [file for file in files if file.relative_to(ROOT).as_posix() not in LEFT_OUT]
    assert len(checked) > 100
    assert [riddle for file in sorted(checked) for riddle in riddles(file)] == []


@pytest.mark.parametrize(
    "text",
    [
        '"""What is known of it; a number that is none is refused."""',
        "# the\nx = 1  # whoever reads it",
        'f"{told}: step {step} is no whole number"',
        '("nothing was told of it")',
        '"""An error that was\n    asked for."""',
        "def test_a_folder_is_no_file() -> None: ...",
    ],
)
def test_a_riddle_is_found(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    (tmp_path / "riddle.py").write_text(text)
    assert len(list(riddles(tmp_path / "riddle.py"))) == 1


@pytest.mark.parametrize(
    "text",
    [
        "told = told(1)",
        'f"{told(node)} was saved"',
        '"""The newest version; None if there is none."""',
        '"there is no model of this name"',
        '"it is no longer there"',
        '"""`told` gets each version."""',
        "def test_a_folder_is_not_a_file() -> None: ...",
    ],
)
def test_a_plain_sentence_is_not_a_riddle(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    (tmp_path / "plain.py").write_text(text)
    assert list(riddles(tmp_path / "plain.py")) == []
