"""`saver sign`, `saver verify`, `saver grant`, and what `saver log` and `saver check` say of signatures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from running import error_of, run, run_json

pytest.importorskip("cryptography")

import saver
from saver.repo.events import Tag
from signed import appended, private, public, text_of


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> saver.Saver:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SAVER_HEADS", str(tmp_path / "heads"))
    for name in ("alice", "bob"):
        Path(f"{name}.key").write_bytes(private(name))
        Path(f"{name}.pub").write_bytes(public(name))
    found = saver.Saver("models", author="ada")
    found.save("iris", {"a": np.arange(9.0)}, tags=["best"])
    return found


def test_a_version_is_signed_and_verified() -> None:
    assert "ed25519:" in run("sign", "iris@best", "--key", "alice.key").stdout
    assert "p256:" in run("sign", "iris@1", "--key", "bob.key").stdout
    shown = run("verify", "iris@1", "--signed-by", "alice.pub")
    assert shown.exit_code == 0
    assert shown.stdout.count("holds") == 2
    found = run_json("verify", "iris@1")
    assert [(each["key"], each["holds"]) for each in found["signatures"]] == [
        (text_of("alice"), True), (text_of("bob"), True),
    ]  # fmt: skip
    assert run_json("sign", "iris@1", "--key", "bob.key")["signers"] == [text_of("alice"), text_of("bob")]


def test_what_is_not_signed_by_one_of_these_is_an_error() -> None:
    said = error_of(run("verify", "iris", "--signed-by", "alice.pub"), 4)
    assert "it has no signature" in said
    assert "; so its bytes were not read" in said
    run("sign", "iris@1", "--key", "bob.key")
    assert "signed by someone else" in error_of(run("verify", "iris", "--signed-by", "alice.pub"), 4)
    run("verify", "iris", "--signed-by", "alice.pub", "--signed-by", "bob.pub")
    assert "none" in run("verify", "iris").stdout or "holds" in run("verify", "iris").stdout
    assert "there is no file" in error_of(run("verify", "iris", "--signed-by", "carol.pub"), 3)
    assert "there is no file" in error_of(run("sign", "iris", "--key", "carol.key"), 3)


def test_a_wrong_key_is_misuse() -> None:
    assert "is a public key" in error_of(run("sign", "iris", "--key", "alice.pub"), 2)
    assert "is a private key" in error_of(run("verify", "iris", "--signed-by", "alice.key"), 2)
    assert "not a right" in error_of(run("grant", "models", "bob.pub", "load", "--sign", "alice.key"), 2)


def test_a_file_is_verified(store: saver.Saver) -> None:
    saver.dump([1], "a.saver", sign=private("alice"))
    assert "holds" in run("verify", "a.saver", "--signed-by", "alice.pub").stdout
    said = error_of(run("verify", "a.saver", "--signed-by", "bob.pub"), 4)
    assert "signed by someone else" in said
    assert "; so its bytes were not read" in said


def test_rights_are_granted_shown_and_taken_away() -> None:
    assert "has no roles" in run("grant", "models").stdout
    assert "must be signed" in error_of(run("grant", "models", "bob.pub", "save"), 2)
    assert "which rights" in error_of(run("grant", "models", "bob.pub", "--sign", "alice.key"), 2)
    shown = run("grant", "models", "bob.pub", "save", "tag:rc-*", "--sign", "alice.key").stdout
    assert "save, tag:rc-*" in shown
    assert "grant" in shown
    found = run_json("grant", "models")
    assert found["roles"] == {text_of("alice"): ["grant"], text_of("bob"): ["save", "tag:rc-*"]}
    assert "no key signs" in error_of(run("tag", "iris@1", "rc-1"), 4)
    assert run("tag", "iris@1", "rc-1", SAVER_SIGN_KEY="bob.key").exit_code == 0
    assert "no right to tag:production" in error_of(
        run("tag", "iris@1", "production", SAVER_SIGN_KEY="bob.key"), 4
    )
    run("grant", "models", "bob.pub", "--none", SAVER_SIGN_KEY="alice.key")
    assert run_json("grant", "models")["roles"] == {text_of("alice"): ["grant"]}


def test_the_log_shows_who_signed_and_granted_what_and_what_is_void(store: saver.Saver) -> None:
    run("sign", "iris@1", "--key", "alice.key")
    run("grant", "models", "bob.pub", "save", "--sign", "alice.key")
    appended(saver.Saver("models")._repo, Tag("iris", "best", None), "bob")
    shown = run("log").stdout
    assert "signed iris@1 by ed25519:" in shown
    assert "granted " in shown
    assert "void, as p256:" in shown
    void, granted, signed, saved = run_json("log")["entries"]
    assert (void["refused"][:5], void["signature"]) == ("p256:", "holds")
    assert granted["grants"] == {text_of("alice"): ["grant"], text_of("bob"): ["save"]}
    assert (granted["signed_by"], granted["signature"], granted["refused"]) == (text_of("alice"), "holds", "")
    assert signed["signers"] == [text_of("alice")]
    assert (saved["signed_by"], saved["signature"], saved["signers"]) == ("", "", [])
    assert run_json("ls", "iris")["versions"][0]["tags"] == ["best"]
    assert "(seen here)" in run("log").stdout


def test_a_record_that_nobody_signed_is_seen_and_signed_by_nobody(store: saver.Saver) -> None:
    run("sign", "iris@1", "--key", "alice.key")
    store.note("iris", "by no key")
    run("verify", "iris@1", "--signed-by", "alice.pub")
    newest = run("log").stdout.splitlines()[1]
    assert newest.endswith("(seen here)")
    assert "recorded by" not in newest


def test_check_names_void_records(store: saver.Saver) -> None:
    run("grant", "models", "bob.pub", "save", "--sign", "alice.key")
    record = appended(saver.Saver("models")._repo, Tag("iris", "best", None), None)
    done = run("check")
    assert done.exit_code == 0
    assert f"{record.number:020}.json: it is not signed" in done.stdout
    assert len(run_json("check")["refused"]) == 1


def test_an_exported_folder_is_signed_for_other_tools_and_verified() -> None:
    Path("out").mkdir()
    run("export", "iris", "out/iris.safetensors")
    assert "out.sig" in run("sign", "out", "--key", "bob.key", "--format", "model-signing").stdout
    shown = run("verify", "out", "--signed-by", "bob.pub", "--format", "model-signing")
    assert shown.exit_code == 0
    assert "1 file" in shown.stderr + shown.stdout
    found = run_json("verify", "out", "--signed-by", "bob.pub", "--format", "model-signing")
    assert found["files"] == ["iris.safetensors"]
    assert run_json("sign", "out", "--key", "bob.key", "--format", "model-signing")["signature"] == "out.sig"
    Path("out/more.txt").write_text("x")
    error_of(run("verify", "out", "--signed-by", "bob.pub", "--format", "model-signing"), 4)
    error_of(run("verify", "out", "--format", "model-signing"), 2)
    error_of(run("verify", "iris", "--ignore", "x"), 2)
    error_of(run("sign", "iris", "--key", "bob.key", "--signature", "x"), 2)


def test_a_key_that_a_passphrase_protects_signs(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyrage")
    from saver.keys.files import new_key_file
    from saver.keys.secret import Passphrase

    new_key_file("locked.key", "ed25519", Passphrase("correct horse"))
    monkeypatch.setattr("saver.keys.asking.ask", lambda *_: "correct horse")
    assert "ed25519:" in run("sign", "iris@1", "--key", "locked.key").stdout
    assert run("verify", "iris@1", "--signed-by", "locked.key.pub").exit_code == 0
    monkeypatch.setattr("saver.keys.asking.ask", lambda *_: "battery staple")
    assert "does not open" in error_of(run("sign", "iris@1", "--key", "locked.key"), 4)


def test_a_key_that_a_passphrase_protects_signs_for_other_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyrage")
    from saver.keys import scrypt
    from saver.keys.files import new_key_file
    from saver.keys.secret import Passphrase

    monkeypatch.setattr(scrypt, "FACTOR", scrypt.FACTORS[0])
    new_key_file("locked.key", "p256", Passphrase("correct horse"))
    new_key_file("other.key", "ed25519")
    Path("out").write_bytes(b"exported")
    signing = ("sign", "out", "--format", "model-signing", "--key")
    monkeypatch.setattr("saver.keys.asking.ask", lambda *_: "battery staple")
    assert "does not open" in error_of(run(*signing, "locked.key"), 4)
    assert "error: other.key: a key of the type Ed25519" in error_of(run(*signing, "other.key"), 2)
    assert not Path("out.sig").exists()
    monkeypatch.setattr("saver.keys.asking.ask", lambda *_: "correct horse")
    assert run(*signing, "locked.key").exit_code == 0
    assert run("verify", "out", "--signed-by", "locked.key.pub", "--format", "model-signing").exit_code == 0


def test_in_a_sealed_store_it_is_said_which_key_signs_and_which_opens() -> None:
    pytest.importorskip("pyrage")
    from saver.keys.files import new_key_file

    new_key_file("ann.key")
    new_key_file("signs.key", "ed25519")
    saver.Saver("sealed", key="ann.key").save("m", [1])
    signing = ("sign", "m", "--store", "sealed", "--key", "signs.key")
    assert "here --key signs, so write: saver --key FILE sign" in error_of(run(*signing), 4)
    assert run("--key", "ann.key", *signing).exit_code == 0
