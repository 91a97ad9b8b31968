"""Files of `torch.save`, of both formats, are read without running them and without PyTorch's own reader."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import saver

torch = pytest.importorskip("torch")


def _views() -> list[Any]:
    whole = torch.randn(5, 6)
    return [whole, whole[1:3], whole.t(), whole[:, ::2], whole]


def _optimizer() -> dict[str, Any]:
    net = torch.nn.Linear(3, 4)
    optimizer = torch.optim.Adam(net.parameters())
    net(torch.ones(2, 3)).sum().backward()
    optimizer.step()
    return {"model": net.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3}


VALUES: dict[str, Callable[[], Any]] = {
    "a state dict": lambda: torch.nn.Sequential(
        torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.LSTM(4, 2)
    ).state_dict(),
    "a checkpoint": _optimizer,
    "views": _views,
    "parameters": lambda: list(torch.nn.Linear(2, 3).parameters()),
    "a frozen parameter": lambda: [torch.nn.Parameter(torch.ones(2), requires_grad=False)],
    "complex numbers": lambda: [torch.randn(2, dtype=torch.complex64)],
    "a conjugate": lambda: [torch.randn(2, dtype=torch.complex64).conj()],
    "bfloat16": lambda: [torch.randn(3).bfloat16()],
    "uint16": lambda: [torch.arange(3).to(torch.uint16)],
    "bools": lambda: [torch.tensor([True, False])],
    "an empty tensor": lambda: [torch.empty(0, 3)],
    "a scalar": lambda: [torch.tensor(3)],
    "channels last": lambda: [torch.randn(1, 2, 3, 4).contiguous(memory_format=torch.channels_last)],
    "an expanded tensor": lambda: [torch.ones(1, 3).expand(4, 3)],
    "a sparse tensor": lambda: [torch.eye(3).to_sparse()],
    "small values": lambda: [torch.device("cpu"), torch.float32, torch.Size([1, 2]), torch.strided, None],
    "an ordered dict": lambda: OrderedDict(a=torch.ones(2), b=[1, "x", (2.5, b"y")]),
}


def same(a: Any, b: Any) -> bool:
    if type(a) is not type(b):
        return False
    if isinstance(a, torch.Tensor):
        plain = (x.to_dense() if x.layout is not torch.strided else x for x in (a, b))
        alike = (a.dtype, a.shape, a.layout, a.requires_grad) == (b.dtype, b.shape, b.layout, b.requires_grad)
        return alike and torch.equal(*plain) and (a.layout is not torch.strided or a.stride() == b.stride())
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)) and not isinstance(a, torch.Size):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("name", VALUES)
def test_a_value_is_what_it_was(name: str, zipped: bool, tmp_path: Path) -> None:
    path, value = tmp_path / "model.pt", VALUES[name]()
    torch.save(value, path, _use_new_zipfile_serialization=zipped)
    assert same(saver.load(path), value)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_tensors_that_shared_a_storage_share_one(zipped: bool, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save(_views(), path, _use_new_zipfile_serialization=zipped)
    whole, rows, turned, columns, again = saver.load(path)
    assert again is whole
    whole.fill_(7)
    assert all((each == 7).all() for each in (rows, turned, columns))


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.shows("Files of PyTorch", "load")
def test_a_module_that_was_saved_whole_computes_what_it_did(zipped: bool, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.BatchNorm1d(4)).eval()
    torch.save(net, path, _use_new_zipfile_serialization=zipped)
    data = torch.randn(5, 3)
    assert torch.equal(saver.load(path)(data), net(data))


def test_a_module_with_hooks_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    net = torch.nn.Linear(3, 4)
    net.register_forward_hook(torch.nn.functional.relu)
    torch.save(net, path)
    with pytest.raises(saver.IncompatibleError, match="has hooks"):
        saver.load(path)


def test_a_state_dict_is_restored_in_place(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    net, other = torch.nn.Linear(3, 4), torch.nn.Linear(3, 4)
    torch.save(net.state_dict(), path)
    saver.restore(path, other)
    assert torch.equal(net.weight, other.weight)


def test_it_becomes_a_version(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    value = _optimizer()
    torch.save(value, path)
    store = saver.Saver(tmp_path / "store")
    assert set(store.import_(path, "net").parts) == {"model", "optimizer", "epoch"}
    assert same(store.load("net"), value)
