"""Sealed stores and files, as one uses them: keys are passed, changed, and forgotten."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pyrage")

import saver
from saver.errors import DamagedError, IncompatibleError, KeyNeededError, WrongKeyError
from saver.keys import age
from saver.keys.files import new_key_file
from saver.repo.resealing import reseal
from saver.seals.aead import MAGIC, epoch_of

STATE = {"w": np.arange(300_000), "name": "a name that nobody should read"}


@pytest.fixture
def keys(tmp_path: Path) -> dict[str, str]:
    found = {name: str(tmp_path / f"{name}.key") for name in ("ada", "bob", "eve")}
    for path in found.values():
        new_key_file(path)
    return found


def same(found: object) -> bool:
    assert isinstance(found, dict)
    return bool((found["w"] == STATE["w"]).all()) and found["name"] == STATE["name"]


def test_a_file_opens_for_its_recipients_and_nobody_else(tmp_path: Path, keys: dict[str, str]) -> None:
    path = tmp_path / "m.saver"
    saver.dump(STATE, path, to=[f"{keys['ada']}.pub", Path(f"{keys['bob']}.pub").read_text().strip()])
    for name in ("ada", "bob"):
        assert same(saver.load(path, key=keys[name]))
    with pytest.raises(WrongKeyError):
        saver.load(path, key=keys["eve"])
    with pytest.raises(KeyNeededError, match="key="):
        saver.load(path)


def test_a_file_opens_with_its_passphrase(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHRASE", "correct horse")
    monkeypatch.setenv("OTHER", "battery staple")
    data = saver.dumps(STATE, to="env:PHRASE")
    assert same(saver.loads(data, key="env:PHRASE"))
    with pytest.raises(WrongKeyError):
        saver.loads(data, key="env:OTHER")


@pytest.mark.parametrize("to", [["age1", "prompt"], [], 5, "age1nobody"])
def test_those_whom_a_file_is_for_are_named_rightly(to: object, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises((ValueError, TypeError, KeyNeededError)):
        saver.dumps(STATE, to=to)


def test_a_store_opens_for_its_holders(tmp_path: Path, keys: dict[str, str]) -> None:
    place = tmp_path / "models"
    store = saver.Saver(place, key=keys["ada"])
    store.save("iris", STATE)
    with pytest.raises(WrongKeyError):
        saver.Saver(place, key=keys["bob"]).load("iris")
    with pytest.raises(KeyNeededError):
        saver.Saver(place).load("iris")
    assert [*store.add_holder(f"{keys['bob']}.pub").changed] == ["bob"]
    assert same(saver.Saver(place, key=keys["bob"]).load("iris"))
    assert {each.name for each in store.holders().holders} >= {"bob"}
    store.remove_holder("bob")
    with pytest.raises(WrongKeyError):
        saver.Saver(place, key=keys["bob"]).load("iris")


def test_a_key_of_the_environment_opens_and_seals_no_new_store(
    tmp_path: Path, keys: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    saver.Saver(tmp_path / "sealed", key=keys["ada"]).save("iris", STATE)
    monkeypatch.setenv("SAVER_KEY", keys["ada"])
    assert same(saver.Saver(tmp_path / "sealed").load("iris"))
    saver.Saver(tmp_path / "plain").save("iris", STATE)
    assert same(saver.Saver(tmp_path / "plain").load("iris"))
    monkeypatch.delenv("SAVER_KEY")
    assert same(saver.Saver(tmp_path / "plain").load("iris"))


def test_a_store_that_should_be_sealed_and_is_not_is_refused(tmp_path: Path, keys: dict[str, str]) -> None:
    saver.Saver(tmp_path / "plain").save("iris", STATE)
    with pytest.raises(IncompatibleError, match="not sealed"):
        saver.Saver(tmp_path / "plain", key=keys["ada"]).load("iris")
    with pytest.raises(IncompatibleError, match="not sealed"):
        saver.Saver(tmp_path / "plain").holders()


def epochs_in(place: Path) -> set[str]:
    """The names of the data keys with which anything there is sealed."""
    found = set()
    for path in place.rglob("*"):
        if path.is_file() and path.parent.name not in ("keys", "clock") and path.suffix:
            data = path.read_bytes()
            if data.startswith(MAGIC):
                found.add(data[len(MAGIC) :][:8].hex())
            elif path.suffix == ".safetensors":
                found.add(data.partition(b'epoch\\":\\"')[2][:16].decode())
    return found


def test_after_a_rotation_others_seal_with_the_new_key_and_everything_can_be_sealed_anew(
    tmp_path: Path, keys: dict[str, str]
) -> None:
    place = tmp_path / "models"
    store, other = (saver.Saver(place, key=keys["ada"]) for _ in range(2))
    store.save("iris", STATE)
    lazy = store.load("iris@1", lazy=True)
    other.save("iris", {**STATE, "w": STATE["w"] + 1})
    before = epochs_in(place)
    assert len(before) == 1
    store.rotate()
    other.save("iris", {**STATE, "w": STATE["w"] + 2})
    assert len(epochs_in(place)) == 2, "a saver that was open before uses the new key, too"
    store.rotate(everything=True)
    assert len(epochs_in(place)) == 1
    assert not epochs_in(place) & before
    assert (lazy["w"] == STATE["w"]).all(), "what was opened before is read on"
    for each in (store, other, saver.Saver(place, key=keys["ada"])):
        assert same(each.load("iris@1"))
        assert each.check().damage == ()
    assert reseal(store._repo).objects == 0


def test_a_sealing_anew_that_breaks_off_goes_on(tmp_path: Path, keys: dict[str, str]) -> None:
    place = tmp_path / "models"
    store = saver.Saver(place, key=keys["ada"])
    for number in range(20):
        store.save("iris", {"number": number})
    store.rotate()

    def stop(done: int, total: int) -> None:
        if done > total / 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reseal(store._repo, stop)
    assert saver.Saver(place, key=keys["ada"]).check().damage == ()
    assert 0 < reseal(store._repo).objects < 60
    assert len(epochs_in(place)) == 1


def test_a_push_seals_for_the_keys_of_the_other_store(tmp_path: Path, keys: dict[str, str]) -> None:
    one = saver.Saver(tmp_path / "one", key=keys["ada"])
    one.save("iris", STATE, tags=["best"])
    two = saver.Saver(tmp_path / "two", key=keys["bob"])
    one.push("iris@best", two)
    assert same(saver.Saver(tmp_path / "two", key=keys["bob"]).load("iris@best"))
    plain = saver.Saver(tmp_path / "plain")
    with pytest.warns(UserWarning, match="everybody who may read there"):
        plain.pull("iris", one)
    assert same(plain.load("iris"))


def test_a_push_from_a_sealed_store_into_a_plain_one_is_warned_of(
    tmp_path: Path, keys: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    saver.Saver(tmp_path / "one", key=keys["ada"]).save("iris", STATE)
    monkeypatch.setenv("SAVER_KEY", keys["ada"])  # opens what is sealed, and seals nothing new
    one, plain = saver.Saver(tmp_path / "one"), saver.Saver(tmp_path / "plain")
    ways = [
        lambda: one.push("iris", tmp_path / "plain"),
        lambda: one.push("iris", plain),
        lambda: plain.pull("iris", one),
        lambda: plain.pull("iris", tmp_path / "one"),
    ]
    for way in [*ways, ways[0]]:  # a new store, and one that is there
        with pytest.warns(
            UserWarning, match="is sealed, and what is pushed to .* everybody who may read there"
        ):
            way()
    saver.Saver(tmp_path / "one").push("iris", saver.Saver(tmp_path / "two", key=keys["ada"]))
    saver.Saver(tmp_path / "one").push("iris", tmp_path / "two")


@pytest.mark.parametrize("ending", ["saver", "npz", "json"])
def test_what_was_sealed_and_is_written_in_clear_is_said(
    tmp_path: Path, keys: dict[str, str], ending: str
) -> None:
    """To a file, from a store or another file; and from a file to a store."""
    path, plain = tmp_path / f"m.{ending}", saver.Saver(tmp_path / "plain")
    store = saver.Saver(tmp_path / "one", key=keys["ada"])
    store.save("iris", np.arange(3.0))
    sealed = tmp_path / "s.saver"
    store.export("iris", sealed, to=keys["ada"] + ".pub")
    store.import_(sealed, "again", key=keys["ada"])
    saver.export(sealed, tmp_path / "t.saver", key=keys["ada"], to=keys["ada"] + ".pub")
    instead = "to seal it, pass to=" if ending == "saver" else f"{ending} has no seal: .* with to="
    for way in (
        lambda: store.export("iris", path),
        lambda: store.export("iris", io.BytesIO(), format=ending),
        lambda: saver.export(sealed, path, key=keys["ada"]),
    ):
        with pytest.warns(UserWarning, match=f"is sealed, and .* is not: everybody .* {instead}"):
            way()
    with pytest.warns(UserWarning, match="s.saver is sealed, and what is imported into .*plain is not: "):
        plain.import_(sealed, "iris", key=keys["ada"])
    plain.export("iris", path)
    saver.export(path, tmp_path / "again.saver")
    saver.dump([1], tmp_path / "c.saver", compress=True)
    saver.export(tmp_path / "c.saver", tmp_path / "d.json")


def test_a_backup_is_sealed_as_its_store_is(tmp_path: Path, keys: dict[str, str]) -> None:
    store = saver.Saver(tmp_path / "models", key=keys["ada"])
    store.save("iris", STATE)
    assert store.backup(tmp_path / "copy").whole
    assert same(saver.Saver(tmp_path / "copy", key=keys["ada"]).load("iris"))
    with pytest.raises(KeyNeededError):
        saver.Saver(tmp_path / "copy").load("iris")
    assert epochs_in(tmp_path / "copy") == epochs_in(tmp_path / "models")


def test_runs_and_saves_in_the_background_are_sealed(tmp_path: Path, keys: dict[str, str]) -> None:
    from saver.policy import Every

    store = saver.Saver(tmp_path / "models", key=keys["ada"])
    assert store.save("iris", STATE, wait=False).result().number == 1
    with store.checkpoints("run", {"state": dict(STATE)}, every=Every(steps=1), progress=False) as run:
        run.step(run.resume(), loss=0.5)
    found = [path.read_bytes() for path in (tmp_path / "models").rglob("*") if path.is_file()]
    assert not any(b"a name that nobody" in data or b"int64" in data for data in found)


def test_damage_is_damage_and_another_object_in_its_place_too(tmp_path: Path, keys: dict[str, str]) -> None:
    store = saver.Saver(tmp_path / "models", key=keys["ada"])
    store.save("iris", STATE)
    store.save("other", {"w": np.arange(400_000)})
    one, two = sorted((tmp_path / "models" / "packs").iterdir())
    one.write_bytes(two.read_bytes())
    assert len(store.check().damage) > 0
    with pytest.raises(DamagedError):
        [store.load(model) for model in ("iris", "other")]


def test_data_keys_have_names_that_tell_nothing() -> None:
    key = os.urandom(32)
    assert epoch_of(key) != epoch_of(os.urandom(32))
    assert len(epoch_of(key)) == 16


def test_what_cannot_be_sealed_anew_is_said(tmp_path: Path, keys: dict[str, str]) -> None:
    place = tmp_path / "models"
    store = saver.Saver(place, key=keys["ada"])
    store.save("iris", STATE)
    store.save("other", {"w": np.arange(400_000)})
    broken = min((place / "packs").iterdir())
    data = bytearray(broken.read_bytes())
    data[10_000] ^= 1
    broken.write_bytes(data)
    with pytest.raises(DamagedError, match="1 damaged objects keep their older key"):
        store.rotate(everything=True)
    assert broken.read_bytes() == bytes(data)


def test_a_group_shares_a_sealed_store(tmp_path: Path) -> None:
    grp = pytest.importorskip("grp")
    identity = age.new_identity()
    store = saver.Saver(tmp_path / "shared", key=lambda: identity.reveal())
    store.create(shared=grp.getgrgid(os.getgid()).gr_name)
    store.save("iris", {"a": 1})
    assert oct((tmp_path / "shared").stat().st_mode)[-4:] == "2770"
    for path in (tmp_path / "shared").rglob("*"):
        assert path.stat().st_mode & 0o067 == 0o060, path
