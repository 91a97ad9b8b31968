"""Distributed checkpoints of PyTorch are read without PyTorch, and hold what PyTorch finds in them."""

from __future__ import annotations

import os
import tarfile
import warnings
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dcp_folders import network, same, saved_once

import saver
from saver.errors import IncompatibleError

torch = pytest.importorskip("torch")
dcp = pytest.importorskip("torch.distributed.checkpoint")

DTYPES = (
    "bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64",
    "complex64", "complex128", "uint16", "uint32", "uint64", "float8_e4m3fn", "float8_e5m2",
)  # fmt: skip


def _numbers() -> Any:
    return torch.arange(300).reshape(3, 100)


def _optimizer() -> dict[str, Any]:
    from torch.distributed.checkpoint.state_dict import get_state_dict

    net = network()
    optimizer = torch.optim.Adam(net.parameters(), fused=False)
    net(torch.arange(4)).sum().backward()
    optimizer.step()
    model, state = get_state_dict(net, optimizer)
    return {"model": model, "optimizer": state}


VALUES: dict[str, Callable[[], dict[str, Any]]] = {
    **{name: lambda name=name: {"a": _numbers().to(getattr(torch, name))} for name in DTYPES},
    "shapes": lambda: {"a": torch.tensor(3), "b": torch.empty(0, 3), "c": torch.empty(2, 0)},
    "orders": lambda: {"a": torch.randn(3, 4).t(), "b": torch.randn(2, 3, 4).permute(1, 2, 0)},
    "views": lambda: {"a": torch.arange(10)[2:5], "b": torch.randn(4, 4)[1:]},
    "views with holes": lambda: {"a": torch.ones(1).expand(5), "b": torch.randn(4, 4)[1:, ::2]},
    "conjugated": lambda: {"a": torch.randn(3, dtype=torch.complex64).conj()},
    "parameters": lambda: {"a": torch.nn.Parameter(torch.ones(2))},
    "a state dict": lambda: network().state_dict(),
    "an optimizer": _optimizer,
    "values": lambda: {"a": None, "b": True, "c": -(2**70), "d": 1.5, "e": "ü", "f": b"\xff", "g": 1j},
    "containers": lambda: {"a": (1, (2,)), "b": [1, [2]], "c": {3, 4}, "d": [], "e": OrderedDict(x=1)},
    "numbers as keys": lambda: {1: {2: 3, "a": torch.ones(2)}},
    "lists of tensors": lambda: {"a": [torch.ones(2), 3, {"x": torch.tensor(1), "y": "z"}, [torch.ones(1)]]},
    "tensors in a tuple": lambda: {"a": (torch.ones(3), 4, torch.arange(100_000))},
    "dots": lambda: {"a.b": {"c.d": torch.ones(1)}, "": torch.ones(2), "a": {"b": torch.ones(3)}},
    "nothing": dict,
    "many": lambda: {f"w{at}": torch.full((at,), at) for at in range(200)},
    "of PyTorch": lambda: {"a": torch.Size([2]), "b": torch.float16, "c": torch.device("cpu")},
}  # fmt: skip


def save(values: dict[str, Any], folder: Path, **options: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if options:
            options = {"storage_writer": dcp.FileSystemWriter(folder, **options)}
        dcp.save(values, checkpoint_id=folder, **options)


def by_pytorch(folder: Path) -> Any:
    """What PyTorch makes of a folder without knowing what is in it."""
    from torch.distributed.checkpoint.format_utils import dcp_to_torch_save

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dcp_to_torch_save(folder, f"{folder}.pt")
    return torch.load(f"{folder}.pt", weights_only=False)


@pytest.mark.shows("PyTorch distributed checkpoints", "load")
@pytest.mark.parametrize("name", VALUES)
def test_a_folder_of_one_process_holds_what_pytorch_finds_in_it(name: str, tmp_path: Path) -> None:
    save(VALUES[name](), tmp_path / "a")
    assert same(saver.load(tmp_path / "a"), by_pytorch(tmp_path / "a"))


@pytest.mark.parametrize("options", [{"single_file_per_rank": False}, {"thread_count": 3}], ids=str)
def test_a_folder_may_have_a_file_for_each_value(options: Any, tmp_path: Path) -> None:
    values = VALUES["many"]()
    save(values, tmp_path / "a", **options)
    assert same(saver.load(tmp_path / "a"), values)


@pytest.mark.slow
@pytest.mark.xdist_group("dcp")
@pytest.mark.parametrize(("kind", "ranks"), [("boxes", 2), ("boxes", 3), ("boxes", 4), ("fsdp", 2)])
def test_a_folder_of_several_processes_holds_whole_tensors(kind: str, ranks: int, tmp_path: Path) -> None:
    values = saved_once(kind, ranks, tmp_path / "a")
    assert same(saver.load(tmp_path / "a"), values)
    store = saver.Saver(tmp_path / "store")
    store.import_(tmp_path / "a", "net")
    assert same(store.load("net"), values)


GOLDEN = Path(__file__).parent / "checkpoints" / "folders.tar.xz"


@pytest.mark.parametrize("version", ["2.1.2", "2.4.1"])
@pytest.mark.parametrize("name", ["one", "two"])
def test_folders_of_old_versions_hold_what_was_saved(version: str, name: str, tmp_path: Path) -> None:
    from formats.checkpoints import make

    with tarfile.open(GOLDEN) as archive:
        archive.extractall(tmp_path, filter="data")
    assert same(saver.load(tmp_path / version / name), make.values())


@pytest.mark.xdist_group("dcp")
def test_rows_of_a_tensor_in_boxes_come_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a tensor larger than the memory is written in other formats."""
    values = saved_once("boxes", 4, tmp_path / "a")
    monkeypatch.setattr("saver.tensors.sources.ROWS", 40)
    saver.export(tmp_path / "a", tmp_path / "a.pt")
    assert same(torch.load(tmp_path / "a.pt"), values)


def test_a_folder_is_shown_converted_and_migrated(tmp_path: Path) -> None:
    values = {"model": network().state_dict(), "step": 3}
    save(values, tmp_path / "runs" / "a")
    assert saver.describe(tmp_path / "runs" / "a").environment["imported from"].startswith("a distributed")
    saver.export(tmp_path / "runs" / "a", tmp_path / "a.saver")
    assert same(saver.load(tmp_path / "a.saver"), values)
    store = saver.Saver(tmp_path / "store")
    found = saver.migrate(tmp_path / "runs", store)
    assert [(each.path, each.format) for each in found.came] == [("a", "dcp")]
    assert (found.refused, found.left) == ((), ())
    assert same(store.load("a"), values)


def test_a_folder_that_is_refused_is_refused_once(tmp_path: Path) -> None:
    save({"a": torch.ones(2)}, tmp_path / "runs" / "a")
    (tmp_path / "runs" / "a" / "__0_0.distcp").write_bytes(b"PK")
    found = saver.migrate(tmp_path / "runs", tmp_path / "store")
    assert [each.path for each in found.refused] == ["a"]
    assert (found.came, found.left) == ((), ())


def test_a_folder_may_have_more_files_than_can_be_open(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    values = {f"w{at}": torch.full((2,), at) for at in range(300)}
    save(values, tmp_path / "runs" / "a", single_file_per_rank=False, sync_files=False)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    here = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 64
    resource.setrlimit(resource.RLIMIT_NOFILE, (here + 160, limits[1]))
    try:
        assert same(saver.load(tmp_path / "runs" / "a"), values)
        found = saver.migrate(tmp_path / "runs", tmp_path / "store")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert [(each.path, each.format) for each in found.came] == [("a", "dcp")]


def test_other_metadata_is_not_taken_for_that_of_a_checkpoint(tmp_path: Path) -> None:
    (tmp_path / ".metadata").write_text("a workspace of another tool")
    with pytest.raises(IncompatibleError, match="is a folder"):
        saver.load(tmp_path)


def test_without_its_folder_the_metadata_says_what_is_missing(tmp_path: Path) -> None:
    save({"a": torch.ones(2)}, tmp_path / "a")
    with (tmp_path / "a" / ".metadata").open("rb") as file, pytest.raises(IncompatibleError, match="folder"):
        saver.load(file)


def test_a_file_of_several_values_is_not_taken_for_one_of_them(tmp_path: Path) -> None:
    save({"a": torch.ones(2), "b": torch.ones(3)}, tmp_path / "a")
    with pytest.raises(IncompatibleError, match="pass the path of the folder"):
        saver.load(tmp_path / "a" / "__0_0.distcp")
