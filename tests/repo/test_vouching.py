"""What listings say of who made and who signed a version is held against its statement: until then a name is
what its writer chose, and a signature counts once it verifies."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

pytest.importorskip("cryptography")

import saver
from saver.repo import audit
from saver.repo.events import Commit, Sign
from saver.repo.log import Record
from saver.repo.vouching import lacking
from saver.signing.signatures import Signature
from signed import private, public, rewritten, text_of

RULES = """
[keys]
alice = "alice.pub"
bob = "bob.pub"

[[require]]
models = ["payroll"]
of = ["alice"]
"""


@pytest.fixture(autouse=True)
def heads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAVER_HEADS", str(tmp_path / "heads"))


@pytest.fixture
def trust(tmp_path: Path) -> Path:
    for name in ("alice", "bob"):
        (tmp_path / f"{name}.pub").write_bytes(public(name))
    (tmp_path / "trust.toml").write_text(RULES)
    return tmp_path / "trust.toml"


def changed(folder: Path, change: Callable[[Commit], Commit]) -> None:
    """Rewrite the commits of a store, as somebody can who may write there."""

    def of(record: Record) -> Record:
        return replace(record, event=change(record.event)) if isinstance(record.event, Commit) else record

    rewritten(folder, of)


def with_signature_of(key: str, text: str) -> Callable[[Commit], Commit]:
    return lambda event: replace(event, signatures=(Signature(key, text),))


def moved(folder: Path) -> None:
    """The signature of another version is put on the second one."""
    found = list[Any]()

    def change(event: Commit) -> Commit:
        found.append(event.signatures)
        return replace(event, signatures=found[0])

    changed(folder, change)


def damaged(folder: Path) -> None:
    for path in (folder / "manifests").rglob("*.json"):
        path.write_bytes(path.read_bytes().replace(b"format", b"farmat"))


CASES: dict[str, tuple[str | None, Callable[[Path], object] | None, str, str]] = {
    # who signs, what is done to the store, what is said of the signature, and of the version by the policy
    "signed": ("alice", None, "holds", ""),
    "unsigned": (None, None, "", "it has no signature"),
    "by another": ("bob", None, "holds", "signed by someone else"),
    "forged": (
        None,
        lambda folder: changed(folder, with_signature_of(text_of("alice"), "00" * 64)),
        "the signature does not verify",
        "that of alice: ",
    ),
    "moved": ("alice", moved, "the signature does not verify", "that of alice: "),
    "damaged": ("alice", damaged, "not checked: ", "not checked: "),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "models"


def made(folder: Path, case: str) -> Path:
    signer, act, *_ = CASES[case]
    store = saver.Saver(folder, author="alice")
    for number in range(2):
        store.save("payroll", {"a": [number]}, sign=private(signer) if signer else None)
    if act is not None:
        act(folder)
        shutil.rmtree(
            os.environ["SAVER_HEADS"], True
        )  # the reader is another machine, which saw nothing of it
    return folder


@pytest.mark.parametrize("case", CASES)
def test_the_log_says_which_signatures_of_versions_hold(case: str, folder: Path) -> None:
    newest = next(saver.Saver(made(folder, case)).log(kinds=["save"]))
    said = CASES[case][2]
    assert list(newest.verdicts) == list(newest.signers)
    for each in newest.verdicts.values():
        assert each.startswith(said)
    assert newest.unverified == ""  # nobody demands anything
    if said not in ("", "holds"):
        assert f"({newest.verdicts[newest.signers[0]]})" in str(newest)
    elif said:
        assert "(" not in str(newest).partition("signed by")[2].partition(";")[0]


@pytest.mark.parametrize("case", CASES)
def test_every_listing_says_what_a_policy_does_not_accept(case: str, folder: Path, trust: Path) -> None:
    store = saver.Saver(made(folder, case), trust_file=trust)
    lack = CASES[case][3]
    found = [
        store.version("payroll@2"),
        store.versions("payroll")[-1],
        store.versions("payroll", last=1)[0],
        store.versions("payroll", where="number = 2")[0],
        store.history("payroll")[-1].version,
        store.history("payroll", last=1)[0].version,
        store.history("payroll", sort="number")[0].version,
        store.summary("payroll").newest,
        store.summaries()[0].newest,
    ]
    for each in found:
        assert lack in each.unverified
        assert bool(each.unverified) == bool(lack)
        assert ("unverified" in str(store.versions("payroll")._page())) == bool(lack)
        assert ("unverified" in each.facts()["saved"]) == bool(lack)
    entry = next(store.log(kinds=["save"]))
    assert lack in entry.unverified
    assert bool(entry.unverified) == bool(lack)
    assert ("unverified" in str(entry)) == bool(lack)


def test_nothing_is_said_of_models_that_no_rule_is_about(folder: Path, trust: Path) -> None:
    store = saver.Saver(folder, trust_file=trust)
    version = store.save("other", {"a": [1]})
    assert store.version("other").unverified == ""
    assert store.version("other") == version
    assert lacking(store._repo, version) == ""


def test_a_later_signature_vouches_for_what_was_saved_without_one(folder: Path, trust: Path) -> None:
    store = saver.Saver(folder, trust_file=trust)
    store.save("payroll", {"a": [1]})
    assert next(store.log()).unverified
    store.sign("payroll", private("alice"))
    signed, saved = store.log()
    assert signed.verdicts == {text_of("alice"): "holds"}
    assert saved.unverified == store.version("payroll").unverified == ""


def test_a_forged_record_of_a_signature_is_not_believed(folder: Path, trust: Path) -> None:
    store = saver.Saver(folder, trust_file=trust)
    store.save("payroll", {"a": [1]})
    store._repo.append(lambda: Sign("payroll", 1, (Signature(text_of("alice"), "00" * 64),)))
    signed, saved = store.log()
    assert signed.verdicts[text_of("alice")].startswith("the signature does not verify")
    assert "the signature does not verify" in str(signed)
    assert "that of alice" in saved.unverified


def test_of_a_version_that_is_gone_nobody_can_tell(folder: Path, trust: Path) -> None:
    store = saver.Saver(folder, trust_file=trust)
    store.save("payroll", {"a": [1]}, sign=private("alice"))
    store.delete("payroll@1")
    (saved,) = store.log(kinds=["save"])
    assert saved.verdicts == {text_of("alice"): "not checked: the version was deleted"}
    assert saved.unverified == "the version was deleted"


def test_a_card_says_which_signatures_hold(folder: Path) -> None:
    assert "| holds |" in str(saver.Saver(made(folder, "signed")).card("payroll"))
    forged = saver.Saver(made(folder.with_name("forged"), "forged")).card("payroll")
    assert "| holds |" not in str(forged)
    assert "does not verify" in str(forged)


def test_only_records_that_are_shown_have_their_signatures_checked(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = saver.Saver(folder, sign=private("alice"))
    for model in ("other", "payroll", "other"):
        store.save(model, 1)
        store.tag(f"{model}@1", "best")
    checked = list[int]()

    def failure(record: Record, signed: Any) -> str:
        checked.append(record.number)
        return ""

    monkeypatch.setattr(audit, "record_failure", failure)
    assert [each.signature for each in store.log("payroll", kinds=["save"])] == ["holds"]
    assert checked == [3], "of a long log, one looks at little"


def half(parts: Any, batch: Any) -> dict[str, Any]:
    """A pipeline of no library."""
    return {"half": batch["x"] / 2}


@pytest.mark.parametrize("content", [{"a": [1]}, [1], {"a": {"b": np.arange(9.0)}, "c": 1}])
@pytest.mark.parametrize("example", [{}, {"example": {"x": np.arange(3.0)}, "pipeline": half}])
def test_a_card_and_verify_agree(folder: Path, content: Any, example: dict[str, Any]) -> None:
    store = saver.Saver(folder, sign=private("alice"))
    store.save("payroll", content, **example)
    assert store.verify("payroll").signed_by == (text_of("alice"),)
    assert "| holds |" in str(store.card("payroll")), "what it records of its predictions is signed, too"


def test_a_version_that_was_listed_with_a_policy_is_still_a_ref(folder: Path, trust: Path) -> None:
    store = saver.Saver(made(folder, "unsigned"), trust_file=trust)
    store.sign(store.version("payroll@1"), private("alice"))
    assert store.load(store.version("payroll@1")) == {"a": [0]}
