"""`saver key`: what it prints, what it asks, and what it leaves in the files."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

import click
import pytest
from running import document_of, error_of, run, run_in_a_terminal, text_in_a_terminal

pytest.importorskip("cryptography")
pytest.importorskip("pyrage")

import saver
from saver import documents
from saver.cli import program
from saver.errors import KeyNeededError
from saver.keys import age, scrypt
from saver.keys.files import new_key_file
from saver.keys.secret import Passphrase

ACTIONS = ("new", "list", "add", "remove", "rotate")
PHRASE = "correct horse battery staple"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scrypt, "FACTOR", scrypt.FACTORS[0])


@pytest.fixture
def team(store: saver.Saver) -> str:
    """The public key of team.key, which opens the store `models`."""
    public = new_key_file("team.key").strip()
    shutil.rmtree("models")
    saver.Saver("models", key="team.key", author="team").save("iris", {"a": 1})
    new_key_file("ann.key")
    return public


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What somebody types, a line for each question."""
    answers: list[str] = []
    for module in ("asking", "sources"):
        monkeypatch.setattr(f"saver.keys.{module}.ask", lambda *_: answers.pop(0))
    return answers


def test_new_makes_two_files_and_says_what_they_are_for() -> None:
    done = run("key", "new", "a.key")
    assert done.exit_code == 0, done.stderr
    public = Path("a.key.pub").read_text().strip()
    assert done.stdout == (
        "a.key is the key: keep it secret, and keep a copy; without it, what it opens is lost\n"
        f"a.key.pub is its public half, for others: {public}\n"
    )
    assert stat.S_IMODE(os.stat("a.key").st_mode) == 0o600
    assert "AGE-SECRET-KEY" not in done.output
    assert error_of(run("key", "new", "a.key"), 4).startswith(
        "error: a.key exists already; nothing was written"
    )


@pytest.mark.parametrize("kind", ["ed25519", "p256"])
def test_of_a_key_that_signs_it_is_not_said_that_it_opens_anything(kind: str) -> None:
    done = run("key", "new", "a.key", "--type", kind)
    assert "keep a copy; without it, nothing more is signed as you\n" in done.stdout


@pytest.mark.parametrize("kind", ["x25519", "ed25519", "p256"])
def test_new_prints_a_document(kind: str) -> None:
    found = document_of(run("key", "new", "a.key", "--type", kind, "--json"))
    assert isinstance(found, documents.MadeKey)
    assert (found.path, found.public_path, found.type, found.protected) == ("a.key", "a.key.pub", kind, False)
    assert found.public_key == Path("a.key.pub").read_text().strip()
    assert "SECRET" not in str(found)
    assert "PRIVATE" not in str(found)


def test_new_with_a_passphrase_asks_twice(typed: list[str]) -> None:
    typed[:] = [PHRASE, PHRASE]
    done = run("key", "new", "a.key", "--passphrase")
    assert done.exit_code == 0, done.stderr
    assert PHRASE not in done.output
    assert age.unwrap(Path("a.key").read_bytes(), (), [PHRASE]).decode().splitlines()[1].startswith("AGE-")
    typed[:] = [PHRASE, "other"]
    assert "the second one differs; nothing was written" in error_of(run("key", "new", "b.key", "-p"), 4)
    assert not Path("b.key").exists()


def test_a_passphrase_is_not_echoed_and_needs_a_terminal() -> None:
    new_key_file("a.key", "x25519", Passphrase(PHRASE))
    shown = run_in_a_terminal("key", "list", "models", "--key", "a.key", answer=f"{PHRASE}\n", exit_code=3)
    assert PHRASE not in shown
    saver.Saver("models").save("m", [1])
    shown = run_in_a_terminal("key", "list", "models", "--key", "a.key", answer=f"{PHRASE}\n", exit_code=4)
    assert PHRASE not in shown
    assert "is not sealed" in shown


def test_list_shows_who_can_open_the_store(team: str) -> None:
    done = run("key", "list", "models", "--key", "team.key")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.splitlines()[0] == "models: 1 holder, 1 data key"
    assert team in done.stdout
    found = document_of(run("key", "list", "models", "-k", "team.key", "--json"))
    assert isinstance(found, documents.Holders)
    assert [(each.name, each.public_key, each.kind) for each in found.holders] == [("team", team, "x25519")]
    assert (found.data_keys, found.changed, found.store) == (1, {}, "models")
    assert "team" in text_in_a_terminal("key", "list", "models", "--key", "team.key")


def test_add_takes_a_public_file_and_the_name_from_it(team: str) -> None:
    done = run("key", "add", "models", "ann.key.pub", "--key", "team.key")
    assert (done.exit_code, done.stdout) == (0, "models: ann can open it\n")
    assert run("key", "list", "models", "--key", "ann.key").exit_code == 0
    again = run("key", "add", "models", "ann.key", "--key", "team.key")
    assert again.stdout == "models: nothing to change: that holder can open it already\n"
    bob = age.new_identity().public
    assert "say with --name whose it is" in error_of(run("key", "add", "models", bob, "--key", "team.key"), 2)
    found = document_of(run("key", "add", "models", bob, "--name", "bob", "--key", "team.key", "--json"))
    assert isinstance(found, documents.Holders)
    assert found.changed == {"bob": bob}
    assert [each.name for each in found.holders] == ["team", "ann", "bob"]


def test_a_new_store_or_file_for_a_passphrase_has_it_typed_twice(typed: list[str]) -> None:
    typed[:] = [PHRASE, "a slip"]
    assert "the second passphrase differs" in error_of(run("init", "new", "--key", "prompt"), 4)
    assert not Path("new/store.json").exists()
    typed[:] = [PHRASE, "a slip"]
    with pytest.raises(KeyNeededError, match="differs"):
        saver.dump([1], "new.saver", to="prompt")
    assert not Path("new.saver").exists()
    typed[:] = [PHRASE, PHRASE]
    assert run("init", "new", "--key", "prompt").exit_code == 0
    typed[:] = [PHRASE]
    assert run("ls", "--store", "new", "--key", "prompt").exit_code == 0


def test_add_a_passphrase(team: str, typed: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    typed[:] = [PHRASE, PHRASE]
    done = run("key", "add", "models", "--passphrase", "--key", "team.key")
    assert (done.exit_code, done.stdout) == (0, "models: passphrase can open it\n"), done.stderr
    typed[:] = [PHRASE]
    assert run("key", "list", "models", "--key", "prompt").exit_code == 0
    monkeypatch.setenv("THE_PHRASE", PHRASE)
    assert run("key", "list", "models", "--key", "env:THE_PHRASE").exit_code == 0
    monkeypatch.setenv("SAVER_KEY", "env:THE_PHRASE")
    assert run("key", "list", "models").exit_code == 0
    monkeypatch.setenv("SAVER_KEY", f"command:echo {PHRASE}")
    assert run("key", "list", "models").exit_code == 0, "a variable names one source, with its spaces"
    monkeypatch.setenv("SAVER_KEY", "env:THE_PHRASE")
    monkeypatch.setenv("THE_PHRASE", "other")
    assert "1 passphrase tried, and none opens" in error_of(run("key", "list", "models"), 4)


def test_remove_says_what_it_cannot_undo(team: str) -> None:
    run("key", "add", "models", "ann.key.pub", "--key", "team.key")
    done = run("key", "remove", "models", "ann", "--key", "team.key")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.startswith("models: ann can no longer open it\n")
    assert "This cannot undo what was: ann had the data key" in done.stdout
    assert "saver key rotate models --key=team.key begins a new one" in done.stdout
    assert error_of(run("key", "list", "models", "--key", "ann.key"), 4)
    assert "ann is not a holder" in error_of(run("key", "remove", "models", "ann", "-k", "team.key"), 3)
    assert "is the only holder" in error_of(run("key", "remove", "models", "team", "-k", "team.key"), 2)


def test_rotate_begins_a_new_data_key(team: str) -> None:
    done = run("key", "rotate", "models", "--key", "team.key")
    assert done.stdout == "models: a new data key is used from now on; what is there stays as it was\n"
    found = document_of(run("key", "rotate", "models", "--key", "team.key", "--json"))
    assert isinstance(found, documents.Holders)
    assert found.data_keys == 3


def test_the_log_shows_it_all(team: str) -> None:
    run("key", "add", "models", "ann.key.pub", "--key", "team.key")
    run("key", "rotate", "models", "--key", "team.key")
    run("key", "remove", "models", "ann", "--key", "team.key")
    lines = run("log", "--kind", "holders", "--key", "team.key").stdout.splitlines()
    assert [line.split("ada  ")[-1].strip().partition(" (age1")[0] for line in lines[1:]] == [
        "removed the holder ann", "began a new data key", "added the holder ann",
    ]  # fmt: skip
    found = document_of(run("log", "--kind", "holders", "--json", "--key", "team.key"))
    assert isinstance(found, documents.Log)
    assert [entry.holders for entry in found.entries][:2] == [{"ann": None}, {}]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("list", "models"), 4, "is sealed, and no key was passed; pass one that opens it"),
        (("list", "models", "--key", "ann.key"), 4, "1 key tried, and none opens the store"),
        (("list", "models", "--key", "nowhere.key"), 3, "there is no key file"),
        (("list", "models", "--key", f"passphrase:{PHRASE}"), 2, "secrets are not arguments"),
        (("list", "models", "--key", PHRASE), 3, "a passphrase is not an argument"),
        (("list", "models", "--key", "env:"), 2, "names nothing"),
        (("list", "nowhere", "--key", "ann.key"), 3, "there is no store here"),
        (("add", "models", "--key", "ann.key"), 2, "pass either RECIPIENT"),
        (("add", "models", "ann.key.pub", "--passphrase", "--key", "ann.key"), 2, "pass either RECIPIENT"),
        (("add", "models", "age1xx", "--key", "team.key"), 2, "is not a public key of age"),
        (("add", "models", "nobody.pub", "--key", "team.key"), 3, "nobody.pub"),
        (("add", "models", "ann.key.pub", "--name", "team", "--key", "team.key"), 2, "a holder team already"),
        (("add", "models", "ann.key.pub", "--name", "", "--key", "team.key"), 2, "is not a name"),
        (("new", ""), 2, "the name of the file is empty"),
        (("new", "no/folder/a.key"), 4, "No such file"),
    ],
    ids=lambda each: str(each)[:60],
)
def test_what_goes_wrong_is_one_line(arguments: tuple[str, ...], code: int, said: str, team: str) -> None:
    told = error_of(run("key", *arguments), code)
    assert said in told
    assert PHRASE not in told


@pytest.mark.parametrize("action", ACTIONS)
def test_every_action_takes_the_switches_and_has_help(action: str) -> None:
    shown = run("key", action, "--help")
    assert shown.exit_code == 0
    assert "-q, --quiet" in shown.stdout
    assert "--json" in shown.stdout


def test_there_are_these_actions() -> None:
    found = program.get_command(click.Context(program), "key")
    assert isinstance(found, click.Group)
    assert sorted(found.commands) == sorted(ACTIONS)


def test_quiet_actions_say_nothing(team: str) -> None:
    assert run("key", "new", "q.key", "-q").output == ""
    assert run("-q", "key", "add", "models", "q.key.pub", "--key", "team.key").output == ""
    assert run("key", "-q", "rotate", "models", "--key", "team.key").output == ""
    assert "holder" in run("-q", "key", "list", "models", "--key", "team.key").stdout
