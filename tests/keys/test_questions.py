"""Questions on the terminal: each says of which file or store it asks, and what was typed is tried again."""

from __future__ import annotations

import ast
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("cryptography")
pytest.importorskip("pyrage")

import saver
from saver import Keys
from saver.errors import KeyNeededError, WrongKeyError
from saver.keys import asking, scrypt, sources
from saver.keys.files import new_key_file
from saver.keys.secret import Passphrase
from saver.keys.typed import together
from saver.storages import _together

ONE, TWO = "correct horse", "battery staple"
SOURCE = Path(saver.__file__).parent


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(scrypt, "FACTOR", scrypt.FACTORS[0])
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SAVER_KEY", raising=False)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """The questions that will be asked, each with what is typed then."""
    expected: list[tuple[str, str]] = []

    def ask(question: str, *_: str) -> str:
        right, answer = expected.pop(0)
        assert question == right
        return answer

    monkeypatch.setattr(sources, "ask", ask)
    return expected


def test_no_question_leaves_out_its_place() -> None:
    """Each is a text with the name of a place in it, and all are asked by one function."""
    for path in SOURCE.rglob("*.py"):
        if "getpass(" in (text := path.read_text()):
            assert path == SOURCE / "keys" / "asking.py"
        if "asking import" not in text and path.name != "asking.py":
            continue
        for call in (each for each in ast.walk(ast.parse(text)) if isinstance(each, ast.Call)):
            if getattr(call.func, "id", "") == "ask":
                assert isinstance(question := call.args[0], ast.JoinedStr), f"{path}:{call.lineno}"
                assert any(isinstance(part, ast.FormattedValue) for part in question.values)


def test_what_opens_one_file_is_tried_on_the_next(asked: list[tuple[str, str]]) -> None:
    for name, phrase in (("a.saver", ONE), ("b.saver", ONE), ("c.saver", TWO)):
        saver.dump([name], name, to=lambda phrase=phrase: phrase)
    asked[:] = [("Key or passphrase of a.saver: ", ONE)]
    assert saver.diff("a.saver", "b.saver", key="prompt")
    assert asked == []
    asked[:] = [("Key or passphrase of a.saver: ", ONE), ("Key or passphrase of c.saver: ", TWO)]
    assert saver.diff("a.saver", "c.saver", key="prompt")
    assert asked == []
    asked[:] = [("Key or passphrase of a.saver: ", ONE), ("Key or passphrase of c.saver: ", "a slip")]
    with pytest.raises(WrongKeyError, match=r"c\.saver is sealed: 2 passphrases tried, and none opens it"):
        saver.diff("a.saver", "c.saver", key="prompt")
    assert asked == []


def test_keys_that_do_not_fit_do_not_keep_somebody_from_being_asked(asked: list[tuple[str, str]]) -> None:
    new_key_file("wrong.key")
    new_key_file("ann.key", "x25519", Passphrase(ONE))
    saver.dump([1], "m.saver", to="ann.key.pub")
    asked[:] = [("Passphrase of ann.key: ", ONE)]
    assert saver.load("m.saver", key=["wrong.key", "ann.key"]) == [1]
    asked[:] = [("Key or passphrase of m.saver: ", ONE)]
    assert saver.load("m.saver", key=["wrong.key", "ann.key", "prompt"]) == [1]
    asked[:] = [("Key or passphrase of m.saver: ", TWO), ("Passphrase of ann.key: ", ONE)]
    assert saver.load("m.saver", key=["prompt", "ann.key"]) == [1]


def test_keys_made_together_share_what_was_typed(asked: list[tuple[str, str]]) -> None:
    saver.Saver("sealed", key=lambda: ONE).save("m", [1])
    for name, phrase in (("a.saver", ONE), ("c.saver", TWO)):
        saver.dump([1], name, to=lambda phrase=phrase: phrase)
    with together():
        asked[:] = [("Key or passphrase of c.saver: ", TWO), ("Key or passphrase of sealed: ", ONE)]
        assert saver.load("c.saver", key="prompt") == [1]
        assert saver.Saver("sealed", key="prompt").load("m") == [1]
        assert saver.load("a.saver", key="prompt") == [1]
        asked[:] = [("Key or new passphrase for n.saver: ", TWO), ("The same once more, for n.saver: ", TWO)]
        saver.dump([1], "n.saver", to="prompt")
        assert asked == []
    asked[:] = [("Key or passphrase of n.saver: ", TWO)]
    assert saver.load("n.saver", key="prompt") == [1]


def test_an_empty_answer_names_the_place(asked: list[tuple[str, str]]) -> None:
    saver.dump([1], "a.saver", to=lambda: ONE)
    asked[:] = [("Key or passphrase of a.saver: ", "")]
    with pytest.raises(KeyNeededError, match=r"passphrase of a\.saver: nothing was typed; nothing was done"):
        saver.load("a.saver", key="prompt")


def test_a_key_in_place_of_the_passphrase_of_a_key_file(asked: list[tuple[str, str]]) -> None:
    new_key_file("ann.key", "x25519", Passphrase(ONE))
    new_key_file("other.key")
    secret = Path("other.key").read_text().split()[-1]
    asked[:] = [("Passphrase of ann.key: ", secret)]
    with pytest.raises(KeyNeededError, match="a key was typed; type the passphrase"):
        Keys("ann.key").protected("m.saver")


def test_a_name_cannot_steer_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = list[str]()
    monkeypatch.setattr(asking, "has_terminal", lambda: True)
    monkeypatch.setattr("getpass.getpass", lambda question: shown.append(question) or ONE)
    asking.ask("Passphrase of a\x1b[2J\n.saver: ")
    assert shown == ["Passphrase of a\\x1b[2J\\n.saver: "]


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, EOFError])
def test_a_question_that_nobody_answers_ends_its_line(
    interruption: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = list[bool]()

    def interrupted(_: str) -> str:
        raise interruption

    monkeypatch.setattr(asking, "has_terminal", lambda: True)
    monkeypatch.setattr(asking, "_end_line", lambda: ended.append(True))
    monkeypatch.setattr("getpass.getpass", interrupted)
    with pytest.raises(KeyNeededError if interruption is EOFError else KeyboardInterrupt):
        asking.ask("Passphrase of a.saver: ")
    assert ended == [True]


def test_a_store_is_opened_by_the_thread_that_asks_for_it() -> None:
    """Ctrl-C reaches the main thread alone, and a question in another one could not be interrupted."""
    calls: list[Callable[[], threading.Thread]] = [threading.current_thread] * 3
    first, *others = _together.together(calls)
    assert first is threading.current_thread()
    assert first not in others
    assert [*_together.together(calls[:1])] == [first]
    assert [*_together.together([])] == []
