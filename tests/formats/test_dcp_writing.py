"""What Saver writes as a distributed checkpoint, `torch.distributed.checkpoint.load` reads, however many
processes share it."""

from __future__ import annotations

import pickle
import warnings
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dcp_folders import network, same, saved, saved_once

import saver
from formats.test_dcp_reading import VALUES, by_pytorch
from saver.errors import IncompatibleError

torch = pytest.importorskip("torch")
dcp = pytest.importorskip("torch.distributed.checkpoint")

LOST = {"nothing", "values", "containers", "of PyTorch", "parameters", "conjugated", "views with holes"}
"""Values without tensors, and such as are not written as they were."""


def exported(value: Any, folder: Path) -> list[tuple[str, str]]:
    saver.dump(value, f"{folder}.saver")
    return [(loss.place, loss.what) for loss in saver.export(f"{folder}.saver", folder, format="dcp").losses]


def loaded(values: dict[str, Any], folder: Path) -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dcp.load(values, checkpoint_id=folder)
    return values


@pytest.mark.parametrize("name", sorted(VALUES.keys() - LOST))
def test_pytorch_finds_what_was_there(name: str, tmp_path: Path) -> None:
    values = {str(key): value for key, value in VALUES[name]().items()}
    values["another"] = torch.ones(1)  # of a single part, the value is written
    lost = exported(values, tmp_path / "a")
    assert all("key" in what for _, what in lost)
    found = by_pytorch(tmp_path / "a")
    assert same(saver.load(tmp_path / "a"), found)
    if not lost:
        assert same(found, values)


def test_objects_that_are_not_tensors_are_stored_with_them(tmp_path: Path) -> None:
    values = {
        "w": torch.ones(2), "a": None, "b": True, "c": -(2**70), "d": 1.5, "e": "ü", "f": b"\xff", "g": 1j,
        "h": (1, (torch.ones(3), "x")), "i": [1, [2]], "j": {3, 4}, "k": [], "l": torch.Size([2]),
        "m": torch.float16, "n": torch.device("cpu"), "o": [1, [torch.ones(1)]], "p": [[{"x": 1}], 2],
    }  # fmt: skip
    assert exported(values, tmp_path / "a") == []
    assert same(by_pytorch(tmp_path / "a"), values)


@pytest.mark.shows("PyTorch distributed checkpoints", "save")
def test_a_module_and_its_optimizer_are_loaded_into_new_ones(tmp_path: Path) -> None:
    net = network()
    optimizer = torch.optim.AdamW(net.parameters())
    net(torch.arange(4)).sum().backward()
    optimizer.step()
    lost = exported({"model": net, "optimizer": optimizer}, tmp_path / "a")
    assert [what for place, what in lost if place == "$.optimizer"] == [
        "torch.optim.adamw.AdamW is written as its state dict"
    ]
    other = network()
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    state = loaded({"model": other.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "a")
    assert same(state["model"], net.state_dict())
    assert same(state["optimizer"], optimizer.state_dict())


def test_a_single_part_is_written_by_itself(tmp_path: Path) -> None:
    net = network()
    saver.dump({"model": net, "step": 3}, tmp_path / "a.saver")
    saver.export(tmp_path / "a.saver", tmp_path / "a", format="dcp", parts=["model"])
    assert same(loaded(network().state_dict(), tmp_path / "a"), net.state_dict())
    saver.dump([torch.ones(2)], tmp_path / "b.saver")
    saver.export(tmp_path / "b.saver", tmp_path / "b", format="dcp")
    assert same([*by_pytorch(tmp_path / "b").values()], [[torch.ones(2)]])


@pytest.mark.slow
@pytest.mark.xdist_group("dcp")
@pytest.mark.parametrize("ranks", [2, 3])
def test_other_numbers_of_processes_load_what_two_saved(ranks: int, tmp_path: Path) -> None:
    """FSDP2 cuts the parameters and the optimizer's state anew."""
    values = saved_once("fsdp", 2, tmp_path / "a")
    store = saver.Saver(tmp_path / "store")
    store.import_(tmp_path / "a", "net")
    assert store.export("net", tmp_path / "b", format="dcp").losses == ()
    assert same(saved("load", ranks, tmp_path / "b"), values)


@pytest.mark.slow
@pytest.mark.xdist_group("dcp")
def test_a_tensor_keeps_the_boxes_that_it_is_stored_in(tmp_path: Path) -> None:
    values = saved_once("boxes", 4, tmp_path / "a")
    saver.export(tmp_path / "a", tmp_path / "a.saver")
    assert saver.export(tmp_path / "a.saver", tmp_path / "b", format="dcp").losses == ()
    assert same(by_pytorch(tmp_path / "b"), values)
    before, after = (
        pickle.loads((tmp_path / name / ".metadata").read_bytes()).state_dict_metadata for name in "ab"
    )
    assert before.keys() == after.keys()
    for name, found in before.items():
        if hasattr(found, "chunks"):
            full = [chunk for chunk in found.chunks if chunk.sizes.numel()]
            assert sorted(after[name].chunks, key=str) == sorted(full or found.chunks, key=str)


def _loop() -> dict[str, Any]:
    loop: dict[str, Any] = {"w": torch.ones(2)}
    loop["again"] = [loop, torch.ones(1)]
    return loop


LOSSES: dict[str, tuple[Callable[[], Any], list[tuple[str, str]]]] = {
    "a number as a key": (
        lambda: {"a": {0: torch.ones(1)}, "w": 1}, [("$.a", "the key 0 is written as a text")],
    ),
    "a tuple as a key": (
        lambda: {"a": {(0,): 1, "b": torch.ones(1)}, "w": 1},
        [("$.a", "a key that is neither a text nor a number")],
    ),
    "an empty dict": (lambda: {"a": {}, "w": torch.ones(1)}, [("$.a", "an empty dict")]),
    "two of a name": (
        lambda: {"a": {"b": torch.ones(1)}, "a.b": torch.ones(2)}, [("$.a.b", "its name 'a.b' is taken")],
    ),
    "a parameter": (
        lambda: {"a": torch.nn.Parameter(torch.ones(1)), "w": 1},
        [("$.a", "whether a tensor is a parameter, and is trained")],
    ),
    "a conjugated tensor": (
        lambda: {"a": torch.ones(1, dtype=torch.complex64).conj(), "w": torch.ones(1)},
        [("$.a", "a tensor that is conjugated or negated when it is read")],
    ),
    "itself": (lambda: {"x": _loop(), "w": 1}, [("$.x.again.0", "it refers back to what it is part of")]),
    "the order of a dict": (lambda: {"a": OrderedDict(w=torch.ones(1)), "b": 1}, []),
    "an empty dict in a list": (lambda: {"a": [{}, torch.ones(1)], "w": 1}, [("$.a.0", "an empty dict")]),
}  # fmt: skip


@pytest.mark.parametrize("name", LOSSES)
def test_what_is_lost_is_said(name: str, tmp_path: Path) -> None:
    make, losses = LOSSES[name]
    assert exported(make(), tmp_path / "a") == losses
    assert by_pytorch(tmp_path / "a")


def test_what_has_no_arrays_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(IncompatibleError, match="no arrays"):
        exported({"a": 1, "b": "x"}, tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_what_is_shared_is_not_written_without_end(tmp_path: Path) -> None:
    values: Any = torch.ones(100_000)
    for _ in range(10):
        values = {"a": values, "b": values}
    with pytest.raises(IncompatibleError, match="more than 8 times"):
        exported(values, tmp_path / "a")
    deep: Any = {"w": torch.ones(1)}
    for _ in range(60):
        deep = {"a": deep, "b": deep}
    with pytest.raises(IncompatibleError, match="more than"):
        exported(deep, tmp_path / "b")


def test_the_same_version_makes_the_same_files(tmp_path: Path) -> None:
    values = {"model": network().state_dict(), "step": 3}
    exported(values, tmp_path / "a")
    exported(values, tmp_path / "b")
    for name in (".metadata", "__0_0.distcp"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
