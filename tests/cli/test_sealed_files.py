"""Sealed files on the command line: `saver export --to`, `--passphrase`, and `saver import`, which asks."""

from __future__ import annotations

from pathlib import Path

import pytest
from running import error_of, run, run_in_a_terminal

pytest.importorskip("cryptography")
pytest.importorskip("pyrage")

import saver
from registries import fake
from saver.keys import scrypt
from saver.keys.files import new_key_file

PHRASE = "correct horse battery staple"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(scrypt, "FACTOR", scrypt.FACTORS[0])
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SAVER_KEY", raising=False)
    saver.Saver("models").save("iris", {"secret thing": [1, 2, 3]})
    new_key_file("ann.key")


def test_what_is_exported_to_somebody_is_imported_by_them() -> None:
    assert run("export", "iris", "a.saver", "--to", "ann.key.pub").exit_code == 0
    assert b"secret thing" not in Path("a.saver").read_bytes()
    assert "is sealed" in error_of(run("show", "a.saver"), 4)
    with pytest.warns(UserWarning, match="a.saver is sealed, and what is imported into other is not: "):
        assert run("import", "a.saver", "two", "--key", "ann.key", "--store", "other").exit_code == 0
    assert saver.Saver("other").load("two") == {"secret thing": [1, 2, 3]}


def test_import_asks_for_the_passphrase(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHRASE", PHRASE)
    saver.Saver("models").export("iris", "p.saver", to="env:PHRASE")
    shown = run_in_a_terminal("import", "p.saver", "two", answer=f"{PHRASE}\n")
    assert PHRASE not in shown
    assert "two@1" in shown
    assert "Key or passphrase of p.saver: \n" in shown, "nothing is drawn over it while somebody types"
    shown = run_in_a_terminal("import", "p.saver", "three", answer="battery\n", exit_code=4)
    assert "three" not in saver.Saver("models").models()
    with pytest.warns(UserWarning, match="p.saver is sealed, and what is imported into models is not: "):
        assert run("import", "p.saver", "four", "--key", "env:PHRASE").exit_code == 0


def test_what_leaves_a_sealed_store_in_clear_is_said_on_the_screen() -> None:
    saver.Saver("hers", key="ann.key").save("iris", [1])
    key, seal = ("--store", "hers", "--key", "ann.key"), "to= (--to KEY.pub, or --passphrase)"
    for command in (
        ("export", "iris", "b.saver", *key),
        ("export", "iris", "b.json", *key),
        ("export", "iris", "b.saver", "--force", "--json", *key),
    ):
        with pytest.warns(UserWarning, match=rf"is sealed, and {command[2]} is not: ") as seen:
            assert run(*command).exit_code == 0
        assert seal in str(seen[0].message)
    assert run("export", "iris", "c.saver", "--to", "ann.key.pub", *key).exit_code == 0
    with pytest.warns(UserWarning, match="c.saver is sealed, and d.saver is not: "):
        assert run("convert", "c.saver", "d.saver", *key[2:]).exit_code == 0
    assert run("convert", "c.saver", "e.saver", "--to", "ann.key.pub", *key[2:]).exit_code == 0
    assert "is sealed" in error_of(run("show", "e.saver"), 4)


def test_who_a_file_is_for_is_said_in_one_way() -> None:
    error_of(run("export", "iris", "a.saver", "--to", "nobody.pub"), 3)
    error_of(run("export", "iris", "a.npz", "--to", "ann.key.pub"), 4)
    assert run("export", "iris", "a.saver", "--to", "ann.key.pub", "--passphrase").exit_code == 2
    assert not Path("a.saver").exists()
    assert not Path("a.npz").exists()


def test_what_is_pushed_to_a_hub_is_sealed_for_somebody_and_pulled_by_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("oras", reason="needs oras")
    monkeypatch.setenv("SAVER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PHRASE", PHRASE)
    with fake() as registry:
        place = f"oci://{registry.host}/team/iris:v1"
        assert run("push", "iris", place, "--to", "ann.key.pub").exit_code == 0
        assert not any(b"secret thing" in blob for blob in registry.blobs.values())
        new_key_file("bob.key")
        for key in ((), ("--key", "bob.key")):
            said = error_of(run("pull", "iris", place, "--store", "other", *key), 4)
            assert said.count(place) == 1
            assert "saver key add" not in said, "there are no holders to add at a hub"
            again = f"oci://{registry.host}/team/iris:OTHER_TAG"
            assert f"`saver push REF {again} --to YOUR.key.pub`" in said
        assert not Path("other").exists()
        with pytest.warns(UserWarning, match="and what is pushed to other is not"):
            assert run("pull", "iris", place, "--store", "other", "--key", "ann.key").exit_code == 0
        assert saver.Saver("other").load("iris") == {"secret thing": [1, 2, 3]}
        typed = f"oci://{registry.host}/team/iris:v2"
        saver.Saver("models").push("iris", typed, to="env:PHRASE")
        shown = run_in_a_terminal("pull", "iris", typed, "--store", "third", answer=f"{PHRASE}\n")
        assert PHRASE not in shown
        assert saver.Saver("third").load("iris") == {"secret thing": [1, 2, 3]}


def test_pulling_from_a_sealed_store_asks_for_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHRASE", PHRASE)
    saver.Saver("sealed", key="env:PHRASE").save("rose", {"secret thing": [4]})
    assert "is sealed" in error_of(run("pull", "rose", "sealed"), 4)
    shown = run_in_a_terminal("pull", "rose", "sealed", answer=f"{PHRASE}\n")
    assert PHRASE not in shown
    assert saver.Saver("models").load("rose") == {"secret thing": [4]}


BETWEEN = (("import", "f.saver", "rose"), ("pull", "rose", "hers"), ("push", "rose", "his"))
"""Commands that read in one place and write in another."""


@pytest.mark.parametrize("command", BETWEEN, ids=lambda command: command[0])
def test_what_goes_into_a_sealed_store_asks_for_the_keys_of_both(
    monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.setenv("ONE", PHRASE)
    monkeypatch.setenv("TWO", "battery staple")
    hers, his = saver.Saver("hers", key="env:ONE"), saver.Saver("his", key="env:TWO")
    hers.save("rose", [4])
    hers.export("rose", "f.saver", to="env:ONE")
    his.save("other", [5])
    typed = {"hers": PHRASE, "f.saver": PHRASE, "his": "battery staple"}
    asked: list[str] = []

    def ask(question: str, *_: str) -> str:
        asked.append(question.removeprefix("Key or passphrase of ").removesuffix(": "))
        return typed[asked[-1]]

    monkeypatch.setattr("saver.keys.sources.ask", ask)
    monkeypatch.setattr("saver.keys.asking.has_terminal", lambda: True)
    done = run(*command, "--store", "hers" if command[0] == "push" else "his")
    assert done.exit_code == 0, done.stderr
    assert sorted(asked) == sorted({"hers" if command[0] != "import" else "f.saver", "his"})
    assert saver.Saver("his", key="env:TWO").load("rose") == [4]


@pytest.mark.parametrize("command", BETWEEN, ids=lambda command: command[0])
def test_without_a_terminal_it_is_said_that_both_keys_can_be_passed(command: tuple[str, ...]) -> None:
    new_key_file("bob.key")
    hers, his = saver.Saver("hers", key="ann.key"), saver.Saver("his", key="bob.key")
    hers.save("rose", [4])
    hers.export("rose", "f.saver", to="ann.key.pub")
    his.save("other", [5])
    store = ("--store", "hers" if command[0] == "push" else "his")
    for key in ((), ("--key", "ann.key"), ("--key", "bob.key")):
        assert "--key FILE (repeat it to pass several)" in error_of(run(*command, *store, *key), 4)


def test_a_push_to_a_store_is_not_sealed_for_somebody() -> None:
    assert run("push", "iris", "there", "--to", "ann.key.pub").exit_code == 2
    assert not Path("there").exists()


def test_stores_with_other_keys_push_pull_and_import_with_both(monkeypatch: pytest.MonkeyPatch) -> None:
    """`--key` may be repeated, and $SAVER_KEY has one source on each line."""
    new_key_file("bob.key")
    saver.Saver("hers", key="ann.key").save("iris", [1])
    saver.Saver("his", key="bob.key").save("rose", [2])
    both = ("--key", "bob.key", "--key", "ann.key")
    assert run("push", "iris", "his", "--store", "hers", *both).exit_code == 0
    assert saver.Saver("his", key="bob.key").load("iris") == [1]
    assert run("pull", "rose", "his", "--store", "hers", *both[2:], *both[:2]).exit_code == 0
    assert saver.Saver("hers", key="ann.key").load("rose") == [2]
    assert run("export", "iris", "for_ann.saver", "--to", "ann.key.pub").exit_code == 0
    assert run("import", "for_ann.saver", "two", "--store", "his", *both).exit_code == 0
    assert saver.Saver("his", key="bob.key").load("two") == {"secret thing": [1, 2, 3]}
    monkeypatch.setenv("SAVER_KEY", "bob.key\n\nann.key\n")
    assert run("import", "for_ann.saver", "three", "--store", "his").exit_code == 0
    assert run("key", "list", "hers").exit_code == 0
    assert run("ls", "--store", "hers", "--key", "bob.key").exit_code == 4, "--key stands for all of them"
    done = run("ls", "--store", "hers", "--key", "ann.key\nbob.key")
    assert (done.exit_code, "line break" in done.stderr) == (2, True)
    monkeypatch.setenv("SAVER_KEY", "\n")
    assert "no key was passed" in error_of(run("ls", "--store", "hers"), 4)


@pytest.mark.parametrize("named", ["--key", "SAVER_KEY"])
@pytest.mark.parametrize("what", ["a secret", "passphrase:x", "env:"])
def test_a_secret_in_place_of_where_it_is_is_misuse_and_not_shown(
    named: str, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = Path("ann.key").read_text().split()[-1] if what == "a secret" else what
    if named == "SAVER_KEY":
        monkeypatch.setenv("SAVER_KEY", secret)
    for command in (("ls",), ("log", "iris"), ("push", "iris", "there"), ("verify", "iris")):
        done = run(*command, *(("--key", secret) if named == "--key" else ()))
        assert done.exit_code == 2, done.output
        assert named in done.stderr
        assert "Traceback" not in done.output
        assert what != "a secret" or secret not in done.output
