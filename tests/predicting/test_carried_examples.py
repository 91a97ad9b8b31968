"""An example goes wherever its version goes, and a version without one is what it always was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

import saver
from saver.errors import CannotSaveError, DamagedError, PredictionsDifferError, SignatureError
from saver.predicting import Example, open_predictor
from saver.repo.manifest import EXAMPLE

X = np.random.default_rng(0).normal(size=(300, 40))
OBJECT = {"w": X[0], "b": [1.0]}


def linear(parts: Any, batch: Any) -> Any:
    return {
        "sum": batch @ parts["w"] + parts["b"][0],
        "label": np.array(["a", "b"], object)[(batch[:, 0] > 0) * 1],
    }


TRUST = [f"{__name__}.linear"]


def made(place: Any, **arguments: Any) -> saver.Saver:
    store = saver.Saver(place, **arguments)
    store.save("net", OBJECT, example=X, pipeline=linear)
    return store


def demand(store: saver.Saver, ref: str = "net") -> None:
    found = store.check_predictions(ref, trust=TRUST)
    assert (found.rows, found.identical) == (200, 200)


def pushed(store: saver.Saver, folder: Path) -> saver.Saver:
    store.push("net", folder / "other")
    return saver.Saver(folder / "other")


def pulled(store: saver.Saver, folder: Path) -> saver.Saver:
    other = saver.Saver(folder / "other")
    other.pull("net", str(store.storage))
    return other


def backed_up(store: saver.Saver, folder: Path) -> saver.Saver:
    store.backup(folder / "copy")
    return saver.Saver(folder / "copy")


def exported(store: saver.Saver, folder: Path) -> saver.Saver:
    store.export("net", folder / "net.saver")
    other = saver.Saver(folder / "other")
    other.import_(folder / "net.saver", "net")
    return other


def converted(store: saver.Saver, folder: Path) -> saver.Saver:
    store.export("net", folder / "net.saver")
    saver.export(folder / "net.saver", folder / "again.saver")
    other = saver.Saver(folder / "other")
    other.import_(folder / "again.saver", "net")
    return other


def collected(store: saver.Saver, folder: Path) -> saver.Saver:
    store.save("net", {**OBJECT, "w": X[1]}, example=X, pipeline=linear)
    store.delete("net@1")
    store.gc(grace=0)
    return store


def pruned(store: saver.Saver, folder: Path) -> saver.Saver:
    for row in X[1:4]:
        store.save("net", {**OBJECT, "w": row}, example=X, pipeline=linear)
    store.prune("net", saver.Keep(last=1))
    store.gc(grace=0)
    return store


WAYS: dict[str, Callable[[saver.Saver, Path], saver.Saver]] = {
    each.__name__: each for each in (pushed, pulled, backed_up, exported, converted, collected, pruned)
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_it_goes_where_the_version_goes(way: str, tmp_path: Path) -> None:
    store = WAYS[way](made(tmp_path / "models"), tmp_path)
    demand(store)
    assert store.check().sound
    assert store.load("net").keys() == OBJECT.keys()


@pytest.mark.parametrize("compress", [False, True])
def test_it_is_compressed_with_the_rest(compress: bool, tmp_path: Path) -> None:
    if compress:
        pytest.importorskip("zstandard")
    demand(made(tmp_path / "models", compress=compress))


def test_it_is_sealed_with_the_rest(tmp_path: Path) -> None:
    pytest.importorskip("pyrage")
    from saver.keys import age

    key = age.new_identity()
    store = saver.Saver(tmp_path / "models", key=key.reveal)
    store.create()
    store.save("net", OBJECT, example=np.full((9, 40), 0.123456789), pipeline=linear)
    assert store.check_predictions("net", trust=TRUST).same
    rows = np.full(40, 0.123456789).tobytes()
    for path in (tmp_path / "models").rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert rows not in data
            assert b"schema" not in data
            assert b"linear" not in data
    saver.dump(OBJECT, tmp_path / "a.saver", example=X, pipeline=linear, to=key.public)
    assert open_predictor(tmp_path / "a.saver", key=key.reveal, trust=TRUST).check().same


def test_signatures_cover_it(tmp_path: Path) -> None:
    """A file whose example was exchanged is not what was signed."""
    pytest.importorskip("cryptography")
    from saver.opening import open_file
    from signed import private, public

    path, other = tmp_path / "a.saver", tmp_path / "b.saver"
    saver.dump(OBJECT, path, example=X, pipeline=linear, sign=private("alice"))
    assert open_predictor(path, trust=TRUST, signed_by=public("alice")).check().same
    saver.dump(OBJECT, other, example=X + 1, pipeline=linear)
    forged = open_file(path)
    forged.written = msgspec.structs.replace(
        forged.written, parts={**forged.written.parts, EXAMPLE: open_file(other).written.parts[EXAMPLE]}
    )
    from saver.signed import demand_file

    with pytest.raises(SignatureError):
        demand_file(forged, public("alice"))
    forged.written = msgspec.structs.replace(forged.written, parts=dict(forged.manifest.parts))
    with pytest.raises(SignatureError):  # nor may it be left out
        demand_file(forged, public("alice"))


def test_a_version_without_an_example_is_byte_for_byte_what_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the manifest nor the trees say anything of examples."""
    data = saver.dumps(OBJECT)
    for word in (b"example", b"schema", b"saver/"):
        assert word not in data
    # What an example adds is a part of its own: without it, the rest is the same.
    from saver.opening import open_blob
    from saver.repo.manifest import encode
    from saver.streams import Memory

    plain = open_blob(Memory(data, "plain")).written
    with_one = open_blob(Memory(saver.dumps(OBJECT, example=X, pipeline=linear), "with")).manifest
    same = {"time": 0.0, "environment": {}}
    assert encode(msgspec.structs.replace(plain, **same)) == encode(msgspec.structs.replace(with_one, **same))


def test_an_example_that_did_not_change_is_not_written_again(tmp_path: Path) -> None:
    store = made(tmp_path / "models")
    large = np.random.default_rng(1).normal(size=(200, 2600))  # 4 MB, as much as is kept
    sizes = []
    for seed in range(3):
        w = np.random.default_rng(seed).normal(size=2600)
        version = store.save("large", {"w": w, "b": [0.0]}, example=large, pipeline=linear)
        sizes.append(version.bytes_added)
        numbers = {name: part.number for name, part in version.parts.items()}
        demand(store, str(version))
    assert sizes[0] > 3e6
    assert max(sizes[1:]) < 3e5
    assert numbers["w"] == 3


def test_damage_of_an_example_is_damage(tmp_path: Path) -> None:
    store = saver.Saver(tmp_path / "models")
    store.save("net", {"w": [1.0] * 40, "b": [1.0]}, example=X, pipeline=by_list)
    (pack,) = (tmp_path / "models" / "packs").iterdir()
    data = bytearray(pack.read_bytes())
    data[-1] ^= 1
    pack.write_bytes(data)
    assert not store.check().sound
    with pytest.raises(DamagedError):
        store.verify("net")
    with pytest.raises(DamagedError):
        store.check_predictions("net", trust=["*.by_list"])


def by_list(parts: Any, batch: Any) -> Any:
    return {"sum": batch @ np.array(parts["w"])}


def test_a_changed_example_is_a_change_of_the_version(tmp_path: Path) -> None:
    store = made(tmp_path / "models")
    store.save("net", OBJECT, example=X[:50], pipeline=linear)
    assert store.history("net")[1].changed == (EXAMPLE,)
    assert store.version("net@2").parts[EXAMPLE].number == 2
    found = {each.path: (each.old, each.new) for each in store.diff("net@1", "net@2").facts}
    assert found.keys() == {"golden predictions"}
    assert "200 rows" in str(found["golden predictions"][0])


OTHERWISE = {"pipeline", "tolerance", "golden predictions", "input input", "output sum", "output label"}


def test_a_diff_names_what_goes_in_and_comes_out_otherwise(tmp_path: Path) -> None:
    store = made(tmp_path / "models")
    store.save("net", OBJECT)
    store.save("net", OBJECT, example=Example(X[:50].astype(np.float32), tolerance=1), pipeline=again)
    for one, other in (("net@1", "net@2"), ("net@2", "net@1")):
        found = {each.path for each in store.diff(one, other).facts}
        assert found == {*OTHERWISE, "container"}
    assert {each.path for each in store.diff("net@1", "net@3").facts} == OTHERWISE
    assert store.diff("net@1", "net@1").facts == ()


def again(parts: Any, batch: Any) -> Any:
    return {"sum": linear(parts, batch)["sum"].astype(np.float32)}


# Runs


def test_a_run_records_an_example_with_each_version_and_trains_the_same(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    store = saver.Saver(tmp_path / "models")

    def train(name: str, example: Any) -> Any:
        torch.manual_seed(0)
        net = torch.nn.Sequential(
            torch.nn.Linear(4, 8), torch.nn.Dropout(), torch.nn.BatchNorm1d(8), torch.nn.Linear(8, 3)
        )
        optimizer = torch.optim.Adam(net.parameters())
        objects = {"model": net, "optimizer": optimizer}
        run = store.checkpoints(name, objects, every=saver.Every(steps=2), example=example)
        with run:
            for step in range(run.resume(), 7):
                loss = net(torch.randn(16, 4)).square().mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                run.step(step, loss=loss.item())
        assert all(module.training for module in net.modules())
        return net.state_dict()

    plain, recorded = train("plain", None), train("recorded", torch.randn(10, 4))
    assert all(torch.equal(plain[name], recorded[name]) for name in plain)
    versions = store.versions("recorded")
    assert len(versions) >= 3
    for version in versions:
        assert store.check_predictions(version).identical == 10
    one, last = store.predictor("recorded@1"), store.predictor("recorded@latest")
    inputs = one.from_rows([[1, 2, 3, 4]])
    assert not np.array_equal(one.predict(inputs)["output"], last.predict(inputs)["output"])


def test_a_run_says_at_its_beginning_that_an_example_cannot_be_answered(tmp_path: Path) -> None:
    store = saver.Saver(tmp_path / "models")
    with pytest.raises(CannotSaveError, match="none of the parts"):
        store.checkpoints("run", {"a": {}}, every=saver.Every(steps=1), example=X)


@pytest.mark.parametrize("mode", [True, False])
def test_a_module_answers_in_eval_mode_and_keeps_its_own(mode: bool, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Dropout(0.9), torch.nn.Linear(8, 2)).train(mode)
    net[1].eval()
    saver.dump(net, tmp_path / "a.saver", example=torch.randn(20, 4))
    assert [each.training for each in net.modules()] == [mode, mode, False, mode]
    loaded = saver.load(tmp_path / "a.saver", check_predictions=True)
    assert [each.training for each in loaded.modules()] == [mode, mode, False, mode]
    predictor = open_predictor(tmp_path / "a.saver", check=True)
    rows = predictor.from_rows(np.ones((3, 4)).tolist())
    assert np.array_equal(predictor.predict(rows)["output"], predictor.predict(rows)["output"])


def test_tensors_by_the_names_of_arguments_keep_their_dtypes(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    net = torch.nn.Bilinear(3, 2, 4).to(torch.bfloat16)
    example = {"input1": torch.randn(5, 3).bfloat16(), "input2": torch.randn(5, 2).bfloat16()}
    saver.dump(net, tmp_path / "a.saver", example=example)
    predictor = open_predictor(tmp_path / "a.saver", check=True)
    assert [field.dtype for field in predictor.schema.inputs] == ["bfloat16", "bfloat16"]
    given = {name: each.float().numpy() for name, each in example.items()}
    found = predictor.predict(predictor.schema.check(given))["output"]
    assert np.array_equal(found, net(**example).detach().float().numpy())


def test_weights_that_were_changed_are_found(tmp_path: Path) -> None:
    store = made(tmp_path / "models")
    with pytest.raises(PredictionsDifferError, match="sum differs in 200 rows"):
        store.load("net", trust=TRUST, classes={TRUST[0]: shifted}, check_predictions=True)


def shifted(parts: Any, batch: Any) -> Any:
    found = linear(parts, batch)
    return {**found, "sum": np.nextafter(found["sum"], np.inf)}
