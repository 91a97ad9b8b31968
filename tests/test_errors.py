"""Messages are one line of printable text, whatever was quoted in them."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest

import saver
from saver import errors
from saver.disk.durable import NoHardLinks
from saver.errors import MESSAGE_LIMIT, SaverError, VersionWarning, printable
from saver.repo.refs import BadNameError
from saver.restoring import Conversion, Mismatch, PartReport, Report
from saver.serve.refusals import Refusal
from saver.storages.local import LocalStorage
from saver.storages.memory import MemoryStorage


def kinds(root: type[SaverError] = SaverError) -> Iterator[type[SaverError]]:
    yield root
    for kind in root.__subclasses__():
        yield from kinds(kind)


KINDS: list[type[Any]] = [kind for kind in dict.fromkeys(kinds()) if kind is not Refusal]
KINDS.append(VersionWarning)
REFUSED = pytest.param(partial(Refusal, "failed"), id="Refusal")
"""The one kind that takes more than a message, and stays in its process."""

HOSTILE = {
    "escape": "\x1b[2J\x1b]0;owned\x07",
    "eight-bit escape": "\x9b31m",
    "line": "fine\nsaver: the store is sound",
    "return": "damaged\rsound  ",
    "backspace": "no\b\byes",
    "bidi": "\u202egnp.exe\u2066",
    "zero width": "pay\u200bpal\ufeff",
    "separators": "a\u2028b\u2029c\x85d",
    "surrogate": "\udc80\ud800",
    "null": "a\0b",
    "unassigned": "\U000e0001\U0010ffff\ufdd0",
}


def test_every_kind_of_error_is_met_here() -> None:
    assert {getattr(saver, name) for name in saver.__all__ if name.endswith("Error")} <= set(KINDS)
    public = {
        kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)
    }
    assert public <= set(KINDS)
    assert NoHardLinks in KINDS


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("kind", [*KINDS, REFUSED])
def test_messages_are_printable(kind: Any, text: str) -> None:
    error = kind(f"models/a: {text} is damaged; restore it")
    assert str(error) == f"models/a: {printable(text)} is damaged; restore it"
    assert str(error).isprintable()
    assert str(error).encode("utf-8")
    assert repr(error).isprintable()


@pytest.mark.parametrize("kind", KINDS)
def test_a_message_within_a_message_is_not_escaped_again(kind: type[Any]) -> None:
    inner = kind("a\x1b\\x1b: \\ and \n")
    assert str(kind(f"{inner}; try again")) == f"{inner}; try again" == "a\\x1b\\x1b: \\ and \\n; try again"
    assert str(pickle.loads(pickle.dumps(inner))) == str(inner)


@pytest.mark.parametrize("kind", [*KINDS, REFUSED])
@pytest.mark.parametrize(
    "text", ["x" * 10**6, "\x1b" * 10**5, "é\n" * 10**4], ids=["long", "escapes", "lines"]
)
def test_messages_have_an_end_which_is_kept(kind: Any, text: str) -> None:
    shown = str(kind(f"models/a: {text}; restore it"))
    assert len(shown) <= MESSAGE_LIMIT
    assert shown.startswith("models/a: ")
    assert shown.endswith("; restore it")


@pytest.mark.parametrize("text", ["plain", "Ünïcödé", "日本語", "שלום", "a b", "", "\\n", "🙂"])
def test_what_is_harmless_stays_as_it_is(text: str) -> None:
    assert printable(text) is text


def test_names_that_are_not_trusted_are_printable() -> None:
    assert saver.UntrustedError("x", ("os.system", "a\x1b[2J")).names == ("os.system", "a\\x1b[2J")


def test_a_report_stays_with_its_error() -> None:
    report = object()
    assert saver.DoesNotFitError("a\nb", report).report is report


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_paths_and_refs_of_any_kind_are_shown_printably(text: str, tmp_path: Any) -> None:
    path = str(tmp_path / text.replace("\0", "").replace("\ud800", ""))
    store = LocalStorage(path)
    acts = [
        lambda: saver.load(path),
        lambda: saver.Saver(store).load("m"),
        lambda: saver.Saver(MemoryStorage()).load(text),
        lambda: saver.Saver(MemoryStorage()).tag("m", text),
        lambda: store.open("a"),
        lambda: store.open(text),
    ]
    for act in acts:
        with pytest.raises((SaverError, BadNameError)) as caught:
            act()
        assert str(caught.value).isprintable()


def test_a_warning_about_versions_is_printable(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It quotes the versions that the file says it was saved under, and the names of its parts."""
    pytest.importorskip("sklearn")
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(np.arange(6.0).reshape(3, 2))
    with monkeypatch.context() as patch:
        patch.setattr("saver.environment.package_version", lambda name: "1\x1b[2J\u202e")
        patch.setattr("saver.opened.package_version", lambda name: "1\x1b[2J\u202e")
        store = saver.Saver(MemoryStorage())
        store.save("m", {"scaler": scaler})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        store.load("m")
    told = [str(each.message) for each in caught if issubclass(each.category, VersionWarning)]
    assert len(told) == 1
    assert "1\\x1b[2J\\u202e" in told[0]
    assert told[0].isprintable()


def test_a_report_of_a_restore_is_printable_line_by_line() -> None:
    """Names of a file stand in it."""
    evil = "\x1b[2J\u202eevil\n"
    part = PartReport(evil, (evil,), (evil,), (evil,), (Mismatch(evil, (1,), (2,), evil),),
                      (Conversion(evil, evil, evil),), (evil,))  # fmt: skip
    for text in (str(Report(evil, {evil: part})), str(part.mismatched[0]), str(part.converted[0])):
        assert all(line.isprintable() for line in text.split("\n"))
        assert "\\x1b[2J" in text
