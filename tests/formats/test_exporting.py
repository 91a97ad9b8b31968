"""Versions and files are written for other tools: durably, whole, and with what is lost said aloud."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from exporting import ARRAYS, all_same

import saver
from saver import format as contract
from saver.errors import CannotWriteError, IncompatibleError, NotFoundError
from saver.format import Reads, Writes
from saver.opening import open_file
from saver.storages.memory import MemoryStorage

safetensors = pytest.importorskip("safetensors.numpy")


def fitted() -> Any:
    """A pipeline that has learned, and what it learned from."""
    linear, pipeline = pytest.importorskip("sklearn.linear_model"), pytest.importorskip("sklearn.pipeline")
    preprocessing = pytest.importorskip("sklearn.preprocessing")
    x = np.random.default_rng(0).normal(size=(60, 4))
    made = pipeline.make_pipeline(preprocessing.StandardScaler(), linear.LogisticRegression())
    return made.fit(x, x[:, 0] > 0), x


def test_a_pipeline_becomes_arrays_by_name_and_what_is_lost_is_listed(tmp_path: Path) -> None:
    model, _ = fitted()
    store = saver.Saver(MemoryStorage())
    store.save("iris", {"model": model, "threshold": 0.5})
    found = store.export("iris", tmp_path / "iris.npz")
    with np.load(tmp_path / "iris.npz") as arrays:
        names = "model.steps.standardscaler.mean_", "model.steps.logisticregression.coef_"
        assert np.array_equal(arrays[names[0]], model[0].mean_)
        assert np.array_equal(arrays[names[1]], model[1].coef_)
    lost = {loss.place: loss.what for loss in found.losses}
    assert lost["$.threshold"] == "0.5"
    assert lost["$.model"].startswith("sklearn.pipeline.Pipeline: ")
    assert "C = 1.0" in lost["$.model.steps.logisticregression"]
    assert (found.format, found.bytes) == ("npz", (tmp_path / "iris.npz").stat().st_size)
    assert "C = 1.0" in str(found)
    assert "lost" in repr(found)


@pytest.mark.shows("safetensors", "save")
def test_a_module_becomes_its_state_dict(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file

    net = torch.nn.Sequential(
        torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3), torch.nn.Sequential(torch.nn.Linear(3, 2)).bfloat16()
    )
    net[2].register_buffer("spare", torch.ones(2), persistent=False)
    net[2].tied = net[2][0]
    net[2].mask = torch.ones(3)
    optimizer = torch.optim.Adam(net[:2].parameters())
    net[:2](torch.ones(5, 4)).sum().backward(), optimizer.step()
    saver.dump({"net": net, "optimizer": optimizer}, tmp_path / "a.saver")
    found = saver.export(tmp_path / "a.saver", tmp_path / "net.safetensors", parts=["net"])
    expected, read = net.state_dict(), load_file(tmp_path / "net.safetensors")
    assert read.keys() == expected.keys()
    assert all(torch.equal(read[name], expected[name]) and read[name].dtype == expected[name].dtype
               for name in expected)  # fmt: skip
    lost = "\n".join(map(str, found.losses))
    assert "spare" in lost
    assert "mask" in lost
    assert "tied.weight: it has the same bytes as" in lost
    both = saver.export(tmp_path / "a.saver", tmp_path / "both.safetensors")
    read = load_file(tmp_path / "both.safetensors")
    assert torch.equal(read["optimizer.state.0.exp_avg"], optimizer.state_dict()["state"][0]["exp_avg"])
    assert "optimizer.param_groups.0.params.0" not in read
    assert "lr" in str(both) or "param_groups" in str(both)


@pytest.mark.parametrize("name", ["a.npz", "a.safetensors"])
def test_a_dict_of_arrays_goes_there_and_back(name: str, tmp_path: Path) -> None:
    store = saver.Saver(MemoryStorage())
    store.save("w", ARRAYS)
    assert store.export("w", tmp_path / name).losses == ()
    judged = np.load(tmp_path / name) if name.endswith("npz") else safetensors.load_file(tmp_path / name)
    assert all_same(dict(judged), ARRAYS)
    assert all_same(saver.load(tmp_path / name), ARRAYS)
    assert all_same(store.load(store.import_(tmp_path / name, "again")), ARRAYS)


def test_nested_names_that_meet_stay_two(tmp_path: Path) -> None:
    ones = {"x": {"a.b": np.ones(2), "a": {"b": np.zeros(2)}}}
    saver.dump(ones, tmp_path / "a.saver")
    found = saver.export(tmp_path / "a.saver", tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as arrays:
        assert set(arrays) == {"a.b", "a.b#2"}
    assert any("taken" in loss.what for loss in found.losses)


def test_what_refers_to_itself_ends(tmp_path: Path) -> None:
    loop: list[Any] = [np.ones(3)]
    loop.append(loop)
    saver.dump({"loop": loop}, tmp_path / "a.saver")
    found = saver.export(tmp_path / "a.saver", tmp_path / "a.npz")
    assert any("back" in loss.what or "list" in loss.what for loss in found.losses)


def test_sharing_cannot_make_a_small_file_large(tmp_path: Path) -> None:
    """Objects that are shared on many levels would be written again and again."""
    value: Any = [np.arange(1000.0)]
    for _ in range(40):
        value = [value, value]
    saver.dump({"x": value}, tmp_path / "a.saver")
    with pytest.raises(IncompatibleError, match="choose some parts"):
        saver.export(tmp_path / "a.saver", tmp_path / "a.npz")
    assert sorted(os.listdir(tmp_path)) == ["a.saver"]


def test_a_saver_file_of_some_parts_has_what_they_refer_to(tmp_path: Path) -> None:
    shared = [np.arange(9.0)]
    saver.dump({"a": shared, "b": {"of a": shared}, "c": 1}, tmp_path / "a.saver")
    saver.export(tmp_path / "a.saver", tmp_path / "b.saver", parts=["b"])
    found = saver.load(tmp_path / "b.saver")
    assert list(found) == ["a", "b"]
    assert found["b"]["of a"] is found["a"]


class Unready:
    """A file object that is not one for writing."""

    def write(self, data: Any) -> int:
        raise OSError(28, "full")


def test_file_objects_take_single_files(tmp_path: Path) -> None:
    saver.dump(ARRAYS, tmp_path / "a.saver")
    for name in ("npz", "safetensors"):
        memory = io.BytesIO()
        assert saver.export(tmp_path / "a.saver", memory, format=name).bytes == len(memory.getvalue())
        assert all_same(saver.loads(memory.getvalue()), ARRAYS)
        with pytest.raises(OSError, match="full"):
            saver.export(tmp_path / "a.saver", Unready(), format=name)


def test_wrong_arguments_are_named(tmp_path: Path) -> None:
    saver.dump({"x": np.ones(3), "y": 1}, tmp_path / "a.saver")
    source, target = tmp_path / "a.saver", tmp_path / "b.npz"
    with pytest.raises(ValueError, match=r"format: 'nope' is not a format .* npz"):
        saver.export(source, target, format="nope")
    with pytest.raises(TypeError, match="format"):
        saver.export(source, target, format=1)  # type: ignore[arg-type]
    with pytest.raises(NotFoundError, match="no part 'z'"):
        saver.export(source, target, parts=["z"])
    with pytest.raises(IncompatibleError, match="no arrays in it"):
        saver.export(source, target, parts=["y"])
    with pytest.raises(CannotWriteError, match="create the folder"):
        saver.export(source, tmp_path / "nowhere" / "b.npz")
    assert os.listdir(tmp_path) == ["a.saver"]


@pytest.mark.parametrize("name", ["a.npz", "a.safetensors"])
def test_a_failure_leaves_what_was_there(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The source is damaged, which shows when its second array is read."""
    source, target = tmp_path / "a.saver", tmp_path / name
    saver.dump({"a": np.arange(5000.0), "b": np.arange(90_000.0)}, source)
    target.write_text("precious")
    data = bytearray(source.read_bytes())
    data[-2000] ^= 1
    source.write_bytes(data)
    with pytest.raises(saver.DamagedError):
        saver.export(source, target)
    assert target.read_text() == "precious"
    assert sorted(os.listdir(tmp_path)) == sorted([name, "a.saver"])


@pytest.mark.parametrize("name", ["a.npz", "a.safetensors"])
def test_a_file_that_is_replaced_passes_on_its_mode(name: str, tmp_path: Path) -> None:
    saver.dump({"a": np.arange(5.0)}, tmp_path / "a.saver")
    (tmp_path / name).write_text("old")
    (tmp_path / name).chmod(0o640)
    saver.export(tmp_path / "a.saver", tmp_path / name)
    assert (tmp_path / name).stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("name", ["a.npz", "a.safetensors"])
def test_progress_ends_with_all_bytes(name: str, tmp_path: Path) -> None:
    saver.dump(ARRAYS, tmp_path / "a.saver")
    seen: list[tuple[int, int]] = []
    saver.export(tmp_path / "a.saver", tmp_path / name, progress=lambda *each: seen.append(each))
    assert seen
    assert seen[-1][0] == seen[-1][1]
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_each_format_says_what_it_is() -> None:
    known = list(contract.formats(contract.Format))
    assert {"npz", "safetensors", "saver", "tensorflow"} <= {each.name for each in known}
    for each in known:
        assert isinstance(each, Reads | Writes)
        assert each.title
        assert all(ending == ending.lower() and ending[0] == "." for ending in each.endings)
        assert contract.named(type(each), each.name) is each


def test_a_tensor_that_gave_its_memory_back_is_read_and_verified_again(tmp_path: Path) -> None:
    array = np.arange(500_000.0)
    saver.dump({"w": array}, tmp_path / "a.saver")
    tensors = open_file(tmp_path / "a.saver").tensors
    (name,) = tensors.names
    for _ in range(2):
        assert tensors.read(name).tobytes() == array.tobytes()
        tensors.release(name)
    with (tmp_path / "a.saver").open("r+b") as file:
        file.seek(-8, 2)
        file.write(b"\1" * 8)
    with pytest.raises(saver.DamagedError):
        tensors.read(name)
