"""A trust file says which models and tags need whose signatures; one that is not understood demands nothing
less."""

from __future__ import annotations

import io
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("cryptography")

import saver
from saver.errors import IncompatibleError, NotFoundError, SignatureError
from saver.signing.policy import Rule, by_keys, read_policy
from signed import private, public, text_of

RULES = """
[keys]
alice = "alice.pub"
bob = "bob.pub"
carol = "{carol}"

[[require]]
tags = ["production"]
signatures = 2

[[require]]
models = ["payroll", "team/*"]
of = ["alice"]
"""


@pytest.fixture
def trust(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SAVER_HEADS", str(tmp_path / "heads"))
    for name in ("alice", "bob"):
        (tmp_path / f"{name}.pub").write_bytes(public(name))
    path = tmp_path / "trust.toml"
    path.write_text(RULES.format(carol=text_of("carol")))
    return path


def test_a_rule_needs_k_of_its_n_keys() -> None:
    names = ["alice", "bob", "carol"]
    keys = {name: text_of(name) for name in names}
    for count in (1, 2, 3):
        rule = Rule(keys, count)
        for signed in (set(some) for n in range(4) for some in combinations(names, n)):
            for failed in (set(some) for n in range(4) for some in combinations(names, n)):
                found = {keys[name]: "no" if name in failed else "" for name in signed}
                assert (rule.lacks(found) == "") == (len(signed - failed) >= count)


def test_each_refusal_says_which() -> None:
    rule = Rule({"alice": text_of("alice"), "bob": text_of("bob")}, 2)
    assert "it has no signature" in rule.lacks({})
    assert "signed by someone else (ed25519:" in rule.lacks({text_of("carol"): ""})
    assert "it has 1 of 2 needed signatures (alice)" in rule.lacks({text_of("alice"): ""})
    assert "that of bob: it broke" in rule.lacks({text_of("alice"): "", text_of("bob"): "it broke"})


def doors(store: saver.Saver, folder: Path) -> dict[str, Callable[[str], object]]:
    return {
        "load": store.load,
        "parts": lambda ref: store.load(ref, parts=["a"]),
        "lazy": lambda ref: store.load(ref, lazy=True),
        "restore": lambda ref: store.restore(ref, into={"a": [0]}),
        "export": lambda ref: store.export(ref, folder / "out.saver"),
    }


@pytest.mark.parametrize("door", ["load", "parts", "lazy", "restore", "export"])
def test_a_policy_refuses_at_each_door_what_lacks_signatures(trust: Path, tmp_path: Path, door: str) -> None:
    saver.Saver(tmp_path / "models").save("iris", {"a": [1]}, tags=["production"])
    store = saver.Saver(tmp_path / "models", trust_file=trust)
    call = doors(store, tmp_path)[door]
    with pytest.raises(SignatureError, match=r"iris@1: it has no signature; needed: 2 of alice .*trust.toml"):
        call("iris@1")
    store.sign("iris@1", private("alice"))
    with pytest.raises(PermissionError, match="it has 1 of 2 needed signatures"):
        call("iris@production")
    store.sign("iris@1", private("carol"))
    call("iris@latest")


@pytest.mark.parametrize("model", ["payroll", "team/bert", "other"])
def test_rules_are_about_models(trust: Path, tmp_path: Path, model: str) -> None:
    store = saver.Saver(tmp_path / "models", trust_file=trust)
    store.save(model, {"a": [1]})
    store.sign(f"{model}@1", private("bob"))
    if model == "other":
        assert store.load(model) == {"a": [1]}
    else:
        with pytest.raises(SignatureError, match="signed by someone else"):
            store.load(model)


def test_a_tag_is_set_once_its_version_has_the_signatures(trust: Path, tmp_path: Path) -> None:
    store = saver.Saver(tmp_path / "models", trust_file=trust)
    store.save("iris", {"a": [1]}, sign=private("alice"))
    store.tag("iris@1", "best")
    with pytest.raises(SignatureError, match="the tag was not set"):
        store.tag("iris@1", "production")
    with pytest.raises(SignatureError, match="it was not saved"):
        store.save("iris", {"a": [2]}, tags=["production"], sign=private("alice"))
    assert [version.number for version in store.versions("iris")] == [1]
    store.sign("iris@1", private("bob"))
    store.tag("iris@1", "production")
    other = saver.Saver(tmp_path / "other")
    other.save("iris", {"a": [3]}, tags=["production"])
    with pytest.raises(SignatureError):
        other.push("iris", store, model="third")


def test_a_run_does_not_resume_from_what_nobody_signed(trust: Path, tmp_path: Path) -> None:
    def run(store: saver.Saver) -> int:
        objects = {"a": [1]}
        with store.checkpoints("payroll", objects, every=saver.Every(steps=1)) as found:
            start = found.resume()
            found.step(start)
        return start

    folder = tmp_path / "models"
    assert run(saver.Saver(folder)) == 0
    with pytest.raises(SignatureError):
        run(saver.Saver(folder, trust_file=trust))
    saver.Saver(folder).sign("payroll@1", private("alice"))
    assert run(saver.Saver(folder, trust_file=trust, sign=private("alice"))) == 1
    assert run(saver.Saver(folder, trust_file=trust, sign=private("alice"))) == 2


def test_the_environment_and_the_configuration_name_the_file_too(
    trust: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "models"
    saver.Saver(folder).save("payroll", [1])
    (tmp_path / "config.toml").write_text('trust_file = "trust.toml"')
    for variable, value in (("SAVER_TRUST_FILE", trust), ("SAVER_CONFIG", tmp_path / "config.toml")):
        with monkeypatch.context() as patch:
            patch.setenv(variable, str(value))
            with pytest.raises(SignatureError):
                saver.Saver(folder).load("payroll")
    assert saver.Saver(folder).load("payroll") == [1]


def test_describing_and_comparing_build_nothing_and_need_no_signature(trust: Path, tmp_path: Path) -> None:
    store = saver.Saver(tmp_path / "models", trust_file=trust)
    store.save("payroll", {"a": [1]})
    store.save("payroll", {"a": [2]})
    store.describe("payroll")
    store.diff("payroll@1", "payroll@2")
    assert store.verify("payroll").signatures == ()
    assert store.check().sound


def file_doors(path: Path) -> dict[str, Callable[[], object]]:
    return {
        "load": lambda: saver.load(path),
        "parts": lambda: saver.load(path, parts=["a"]),
        "lazy": lambda: saver.load(path, lazy=True),
        "file object": lambda: saver.load(io.BytesIO(path.read_bytes())),
        "loads": lambda: saver.loads(path.read_bytes()),
        "restore": lambda: saver.restore(path, into={"a": np.zeros(3)}),
        "export": lambda: saver.export(path, path.with_name("out.npz")),
    }


EVERY = '[keys]\nalice = "alice.pub"\nbob = "bob.pub"\n[[require]]\n'
"""Every file needs a signature."""


@pytest.mark.parametrize("door", file_doors(Path()))
@pytest.mark.parametrize("named", ["SAVER_TRUST_FILE", "SAVER_CONFIG"])
def test_files_follow_the_trust_file_as_stores_do(
    trust: Path, tmp_path: Path, named: str, door: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For each door, each rule about models, and each signature: what the file says it is must be signed."""
    (tmp_path / "config.toml").write_text('trust_file = "trust.toml"')
    state, store = {"a": np.arange(3.0)}, saver.Saver(tmp_path / "models")
    for name in ("payroll", "other"):
        store.save(name, state)
        store.export(name, tmp_path / f"{name}.saver")
        store.sign(name, private("alice"))
        store.export(name, tmp_path / f"{name} signed.saver")
    saver.dump(state, tmp_path / "dumped.saver")
    saver.dump(state, tmp_path / "dumped signed.saver", sign=private("bob"))
    saver.dump(state, tmp_path / "dumped by carol.saver", sign=private("carol"))
    np.savez(tmp_path / "foreign.npz", **state)
    unsigned, of_others = {"payroll", "other", "dumped", "foreign"}, {"dumped by carol"}
    signed = {"payroll signed", "other signed", "dumped signed"}
    monkeypatch.setenv(named, str(trust if named == "SAVER_TRUST_FILE" else tmp_path / "config.toml"))
    for rules, refused in (
        (RULES.format(carol=text_of("carol")), {"payroll"}),
        (EVERY, unsigned | of_others),
    ):
        trust.write_text(rules)
        for what in unsigned | of_others | signed:
            call = file_doors(tmp_path / f"{what}{'.npz' if what == 'foreign' else '.saver'}")[door]
            if what in refused:
                with pytest.raises(SignatureError, match=r"trust\.toml demands it"):
                    call()
            elif what != "foreign" or door not in ("parts", "restore"):
                call()


def test_a_file_needs_what_the_call_and_the_trust_file_demand(
    trust: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trust.write_text(EVERY)
    monkeypatch.setenv("SAVER_TRUST_FILE", str(trust))
    path = tmp_path / "m.saver"
    saver.dump([1], path, sign=private("carol"))
    with pytest.raises(SignatureError, match=r"trust\.toml"):
        saver.load(path, signed_by=public("carol"))
    saver.dump([1], path, sign=private("alice"))
    with pytest.raises(SignatureError, match="signed_by demands it"):
        saver.load(path, signed_by=public("carol"))
    assert saver.load(path, signed_by=public("alice")) == [1]


def test_describing_and_verifying_a_file_demand_nothing(
    trust: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trust.write_text(EVERY)
    monkeypatch.setenv("SAVER_TRUST_FILE", str(trust))
    path = tmp_path / "m.saver"
    saver.dump([1], path)
    saver.describe(path)
    saver.diff(path, path)
    assert saver.verify(path).signatures == ()


def test_a_trust_file_that_is_missing_is_an_error_for_files_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saver.dump([1], tmp_path / "m.saver")
    monkeypatch.setenv("SAVER_TRUST_FILE", str(tmp_path / "missing.toml"))
    with pytest.raises(NotFoundError, match="no such trust file"):
        saver.load(tmp_path / "m.saver")


BAD = {
    "not TOML": "[keys",
    "no keys": "[[require]]\n",
    "unknown field": '[keys]\na = "{a}"\n[other]\nx = 1',
    "unknown field of a rule": '[keys]\na = "{a}"\n[[require]]\ntag = ["production"]',
    "unknown name": '[keys]\na = "{a}"\n[[require]]\nof = ["b"]',
    "too many": '[keys]\na = "{a}"\n[[require]]\nsignatures = 2',
    "none needed": '[keys]\na = "{a}"\n[[require]]\nsignatures = 0',
    "true": '[keys]\na = "{a}"\n[[require]]\nsignatures = true',
    "no names": '[keys]\na = "{a}"\n[[require]]\nof = []',
    "no tags": '[keys]\na = "{a}"\n[[require]]\ntags = []',
    "a text for a list": '[keys]\na = "{a}"\n[[require]]\nmodels = "iris"',
    "one key twice": '[keys]\na = "{a}"\nb = "{a}"\n[[require]]\nsignatures = 2',
    "a table": '[keys]\na = "{a}"\n[require]\nsignatures = 1',
    "twice the same name": '[keys]\na = "{a}"\n[[require]]\nsignatures = 2\nof = ["a", "a"]',
}


@pytest.mark.parametrize("what", BAD)
def test_a_trust_file_that_is_not_understood_is_refused(what: str, tmp_path: Path) -> None:
    path = tmp_path / "trust.toml"
    path.write_text(BAD[what].replace("{a}", text_of("alice")))
    with pytest.raises(IncompatibleError, match=r"trust\.toml: "):
        read_policy(str(path))
    with pytest.raises(IncompatibleError):
        saver.Saver(tmp_path / "models", trust_file=path)


def test_a_file_or_key_that_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no such trust file"):
        saver.Saver(tmp_path, trust_file=tmp_path / "missing.toml")
    (tmp_path / "trust.toml").write_text('[keys]\na = "a.pub"\n[[require]]')
    with pytest.raises(NotFoundError, match=r"a\.pub"):
        saver.Saver(tmp_path, trust_file=tmp_path / "trust.toml")


def test_signed_by_is_one_of_these() -> None:
    assert by_keys(None) is None
    with pytest.raises(ValueError, match="signed_by: it is empty"):
        by_keys([])
    found = by_keys([public("alice"), public("alice"), public("bob")])
    assert found is not None
    assert [rule.count for rule in found.rules] == [1]
    assert len(found.rules[0].keys) == 2
