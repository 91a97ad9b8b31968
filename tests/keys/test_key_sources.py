"""Where keys come from. Nothing is fetched before it is needed, and nothing secret is shown."""

from __future__ import annotations

import copy
import os
import pickle
import shlex
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("cryptography")
pytest.importorskip("pyrage")

import saver
from saver import Keys
from saver.errors import CannotReadError, IncompatibleError, KeyNeededError, NotFoundError, WrongKeyError
from saver.keys import age, asking, fetching, sources
from saver.keys.files import new_key_file
from saver.keys.secret import Identity, Passphrase
from secrecy import SECRET, leaks, raised

IDENTITY = age.identity(SECRET, "golden.key")
PHRASE = "correct horse battery staple"


def command(text: str) -> str:
    """A source that prints this."""
    return f"command:{shlex.join([sys.executable, '-c', f'print({text!r}, end={str()!r})'])}"


@pytest.fixture
def ring(monkeypatch: pytest.MonkeyPatch) -> dict[tuple[str, str], str]:
    """A key ring of the system."""
    held: dict[tuple[str, str], str] = {}

    class Ring:
        @staticmethod
        def get_password(service: str, name: str) -> str | None:
            return held.get((service, name))

    monkeypatch.setattr(fetching, "_key_ring", lambda: Ring)
    return held


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What somebody types at the terminal; each question takes one."""
    answers: list[str] = []
    monkeypatch.setattr(sources, "ask", lambda *_: answers.pop(0))
    return answers


@pytest.fixture
def each_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ring: dict[tuple[str, str], str], typed: list[str]
) -> Callable[[str], dict[str, Any]]:
    """Every kind of source, all with the same secret."""

    def make(secret: str) -> dict[str, Any]:
        (tmp_path / "a.key").write_text(secret)
        (tmp_path / "a.key").chmod(0o600)
        monkeypatch.setenv("THE_KEY", secret)
        ring["saver/x", "team"] = secret
        typed[:] = [secret]
        return {
            "file": str(tmp_path / "a.key"), "path": tmp_path / "a.key", "env": "env:THE_KEY",
            "command": command(secret), "keyring": "keyring:saver/x/team", "prompt": "prompt",
            "function": lambda: secret, "bytes": lambda: secret.encode(),
        }  # fmt: skip

    return make


KINDS = ["file", "path", "env", "command", "keyring", "prompt", "function", "bytes"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", [SECRET, f"{SECRET}\n", f"# public key: {IDENTITY.public}\n{SECRET}\r\n"])
def test_every_source_gives_an_identity(kind: str, form: str, each_source: Any) -> None:
    keys = Keys.of(each_source(form)[kind])
    assert [*keys.identities(), *keys.protected("m.saver")] == [IDENTITY]
    assert keys.passphrases("m.saver") == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", [PHRASE, f"{PHRASE}\n", " ", "ünï 🙂 \u00a0"[:4]])
def test_every_source_gives_a_passphrase(kind: str, form: str, each_source: Any) -> None:
    keys = Keys.of(each_source(form)[kind])
    assert keys.identities() == []
    assert [each.reveal() for each in keys.passphrases("m.saver")] == [form.removesuffix("\n")]


@pytest.mark.parametrize("kind", KINDS)
def test_keys_are_fetched_when_they_are_needed_and_once(
    kind: str, each_source: Any, monkeypatch: Any
) -> None:
    fetched = []
    source = each_source(SECRET)[kind]
    for module, name in ((sources, "read_key_file"), (sources, "ask")):
        real = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *given, real=real: fetched.append(1) or real(*given))
    for scheme, real in list(sources._FETCHERS.items()):
        counted = lambda text, real=real: fetched.append(1) or real(text)  # noqa: E731
        monkeypatch.setitem(sources._FETCHERS, scheme, counted)
    if callable(source):
        given = source
        source = lambda: fetched.append(1) or given()  # noqa: E731
    keys = Keys(source)
    repr(keys), bool(keys)
    assert fetched == []
    threads = [
        threading.Thread(target=lambda: (keys.identities(), keys.protected("m.saver"))) for _ in range(4)
    ]
    [each.start() for each in threads], [each.join() for each in threads]
    keys.passphrases("m.saver")
    assert fetched == [1]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("secret", [SECRET, PHRASE])
def test_keys_show_no_secret(kind: str, secret: str, each_source: Any) -> None:
    keys = Keys.of(each_source(secret)[kind])
    found = [*keys.identities(), *keys.protected("m.saver"), *keys.passphrases("m.saver")]
    shown = f"{keys!r} {keys} {found!r} {found[0]} {vars(keys)!r}"
    if (
        kind != "command"
    ):  # in this test, the secret is in the command itself, of which only the program is shown
        assert secret not in shown
    assert secret not in f"{keys!r} {found!r}"


@pytest.mark.parametrize("copying", [pickle.dumps, copy.copy, copy.deepcopy])
@pytest.mark.parametrize(
    "thing", [Keys("prompt"), Passphrase(PHRASE), IDENTITY], ids=["keys", "phrase", "identity"]
)
def test_keys_are_not_pickled_or_copied(copying: Any, thing: Any) -> None:
    error = raised(lambda: copying(thing), TypeError)
    assert "not pickled" in str(error)
    assert leaks(error, PHRASE, SECRET) == []


WRONG: dict[str, Any] = {
    "a secret": SECRET,
    "lower case": SECRET.lower(),
    "a passphrase": f"passphrase:{PHRASE}",
    "no scheme": "env:",
    "no command": "command:",
    "empty": "",
    "null": f"a\0{PHRASE}",
    "number": 3,
    "bytes": PHRASE.encode(),
    "dict": {"key": PHRASE},
    "several": ["prompt", f"passphrase:{PHRASE}"],
}


@pytest.mark.parametrize("name", WRONG)
def test_what_says_not_where_a_key_is_is_refused_with_the_way_out(name: str) -> None:
    error = raised(lambda: Keys.of(WRONG[name]), ValueError, TypeError)
    assert not isinstance(error, saver.SaverError)
    assert str(error).startswith("key: ")
    assert "'prompt'" in str(error)
    assert leaks(error, PHRASE, SECRET) == []


@pytest.mark.parametrize(
    ("source", "kind", "said"),
    [
        ("nowhere.key", NotFoundError, "key: nowhere.key: there is no key file"),
        ("env:NOT_SET_AT_ALL", NotFoundError, "the environment variable NOT_SET_AT_ALL is not set"),
        ("command:/no/such/program", CannotReadError, "/no/such/program: No such file"),
        (f"command:false {PHRASE}", CannotReadError, "false failed with exit code 1; run it in a terminal"),
        ("command:'", ValueError, "close its quotation marks"),
        ("command:  ", ValueError, "name a program"),
        ("keyring:team", ValueError, "write keyring:SERVICE/NAME"),
        ("keyring:saver/nobody", NotFoundError, "the key ring has no entry saver/nobody"),
        (lambda: 3, TypeError, "the function returned an int"),
        (lambda: "", KeyNeededError, "there is nothing"),
        (lambda: b"\xff\xfe", IncompatibleError, "not UTF-8"),
        (lambda: f"{PHRASE}\nline", IncompatibleError, "neither a key of age nor a passphrase"),
        (lambda: PHRASE * 4000, IncompatibleError, "more than 65,536 bytes"),
        (lambda: f"{SECRET}Q", IncompatibleError, "is not an identity"),
        (PHRASE, NotFoundError, "a passphrase is not an argument"),
    ],
)
def test_a_source_that_fails_says_why_and_shows_nothing(
    source: Any,
    kind: type[Exception],
    said: str,
    ring: object,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    error = raised(lambda: Keys(source).identities(), kind)
    assert said in str(error)
    assert leaks(error, PHRASE, SECRET) == []


def test_the_output_of_a_command_that_fails_is_not_shown(capfd: pytest.CaptureFixture[str]) -> None:
    program = f"import sys; print({PHRASE!r}); print({PHRASE!r}, file=sys.stderr); sys.exit(3)"
    error = raised(lambda: Keys(f"command:{shlex.join([sys.executable, '-c', program])}").identities())
    assert "exit code 3" in str(error)
    assert leaks(error, PHRASE) == []
    assert PHRASE not in "".join(capfd.readouterr())


def test_a_command_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "PATIENCE", 0.2)
    error = raised(lambda: Keys("command:sleep 60").identities(), CannotReadError)
    assert "sleep did not end within" in str(error)


def test_a_command_runs_without_a_shell(tmp_path: Path) -> None:
    keys = Keys(f"command:echo $HOME ; touch {tmp_path}/made")
    assert [each.reveal() for each in keys.passphrases("m.saver")] == [f"$HOME ; touch {tmp_path}/made"]
    assert not list(tmp_path.iterdir())


def test_a_key_ring_that_fails_or_lacks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    class Locked:
        @staticmethod
        def get_password(service: str, name: str) -> str:
            raise RuntimeError(PHRASE)

    monkeypatch.setattr(fetching, "_key_ring", lambda: Locked)
    error = raised(lambda: Keys("keyring:a/b").identities(), CannotReadError)
    assert "cannot be read (RuntimeError); unlock it" in str(error)
    assert leaks(error, PHRASE) == []
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(IncompatibleError, match=r"needs the package keyring.*pip install keyring"):
        Keys("keyring:a/b").identities()


def test_the_real_key_ring_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    keyring = pytest.importorskip("keyring")
    monkeypatch.setattr(keyring, "get_password", lambda service, name: f"{service} {name}")
    assert [each.reveal() for each in Keys("keyring:a/b/c").passphrases("m.saver")] == ["a/b c"]


# Protected key files


def test_a_protected_key_file_opens_with_a_passphrase_from_another_source(
    tmp_path: Path, typed: list[str]
) -> None:
    public = new_key_file(tmp_path / "a.key", "x25519", Passphrase(PHRASE)).strip()
    keys = Keys(tmp_path / "a.key", lambda: PHRASE)
    assert keys.identities() == []
    assert [each.public for each in keys.protected("m.saver")] == [public]
    typed[:] = [PHRASE]
    assert [each.public for each in Keys(tmp_path / "a.key").protected("m.saver")] == [public]
    assert typed == []
    with pytest.raises(WrongKeyError, match=r"a\.key: the passphrase does not open it"):
        Keys(tmp_path / "a.key", lambda: "other").protected("m.saver")


def test_a_protected_key_that_signs_opens_nothing(tmp_path: Path) -> None:
    new_key_file(tmp_path / "a.key", "ed25519", Passphrase(PHRASE))
    error = raised(lambda: Keys(tmp_path / "a.key", lambda: PHRASE).protected("m.saver"), IncompatibleError)
    assert "this key signs" in str(error)
    assert leaks(error, PHRASE, "-----BEGIN PRIVATE") == []


def test_without_a_terminal_nobody_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "has_terminal", lambda: False)
    new_key_file(tmp_path / "a.key", "x25519", Passphrase(PHRASE))
    for act in (Keys("prompt").passphrases, Keys(tmp_path / "a.key").protected):
        with pytest.raises(KeyNeededError, match="there is no terminal to ask on; pass 'env:NAME'"):
            act("m.saver")
    with pytest.raises(KeyNeededError, match="a new passphrase is typed, so run this on a terminal"):
        asking.ask_new("A passphrase for a.key")


def test_what_would_be_seen_while_it_is_typed_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    import getpass
    import warnings

    def visible(question: str) -> str:
        warnings.warn("Can not control echo on the terminal.", getpass.GetPassWarning, stacklevel=2)
        return PHRASE

    monkeypatch.setattr(asking, "has_terminal", lambda: True)
    monkeypatch.setattr(getpass, "getpass", visible)
    with pytest.raises(KeyNeededError, match="could not be read"):
        asking.ask("Passphrase: ")


def test_a_new_passphrase_is_typed_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[str] = []
    monkeypatch.setattr(asking, "ask", lambda *_: answers.pop(0))
    answers[:] = [PHRASE, PHRASE]
    assert asking.ask_new("A passphrase").reveal() == PHRASE
    answers[:] = [PHRASE, "other"]
    with pytest.raises(KeyNeededError, match="the second one differs"):
        asking.ask_new("A passphrase")
    answers[:] = [""]
    with pytest.raises(KeyNeededError, match="it is empty"):
        asking.ask_new("A passphrase")


def test_a_passphrase_for_something_new_is_typed_twice(
    typed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = Keys("prompt")
    typed[:] = [PHRASE, "other"]
    with pytest.raises(KeyNeededError, match="the second passphrase differs; nothing was written"):
        keys.new_passphrases("m.saver")
    typed[:] = [PHRASE, PHRASE]
    for _ in range(2):
        assert [each.reveal() for each in keys.new_passphrases("m.saver")] == [PHRASE]
    assert typed == []
    monkeypatch.setenv("ONE", PHRASE)
    assert [each.reveal() for each in Keys("env:ONE").new_passphrases("m.saver")] == [PHRASE]
    typed[:] = [SECRET]  # a key is not a word of one's own
    assert Keys("prompt").new_passphrases("m.saver") == []


# Several, and none


def test_keys_hold_keys(monkeypatch: pytest.MonkeyPatch, typed: list[str]) -> None:
    other = age.new_identity()
    monkeypatch.setenv("ONE", SECRET)
    typed[:] = [PHRASE]
    keys = Keys(Keys("env:ONE", "prompt"), other.reveal)
    assert {each.public for each in keys.identities()} == {IDENTITY.public, other.public}
    assert [each.reveal() for each in keys.passphrases("m.saver")] == [PHRASE]
    assert Keys.of(keys) is keys
    assert Keys.of(["env:ONE", other.reveal]).identities() == keys.identities()


def test_without_sources_there_are_no_keys() -> None:
    for none in (Keys.of(None), Keys(), Keys.of([]), Keys.of(())):
        assert not none
        assert (none.identities(), none.passphrases("m.saver"), none.protected("m.saver")) == ([], [], [])
    assert Keys("prompt")
    assert Keys("env:A")


def test_secrets_are_compared_by_value_and_kind() -> None:
    assert Passphrase("a") == Passphrase("a") != Passphrase("b")
    assert Passphrase("a") != Identity("a", "b")
    assert len({Passphrase("a"), Passphrase("a"), Passphrase("b")}) == 2
    assert os.environ.get("NOT_SET_AT_ALL") is None
