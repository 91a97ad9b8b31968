"""What Saver writes for `torch.load(weights_only=True)` is opened by it, and is what was there."""

from __future__ import annotations

import io
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import saver
from saver.errors import IncompatibleError
from saver.formats.pickle.writing import Writer
from saver.pickled import Call, Elements, Global, Pairs

torch = pytest.importorskip("torch")

DTYPES = (
    "bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64",
    "complex64", "complex128", "uint16", "uint32", "uint64", "float8_e4m3fn", "float8_e5m2",
)  # fmt: skip


def _numbers() -> Any:
    return torch.arange(300).reshape(3, 100)


def _loop() -> list[Any]:
    loop: list[Any] = [torch.ones(2)]
    loop.append({"again": loop})
    return loop


def _ordered() -> Any:
    return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4)).state_dict()


VALUES: dict[str, Callable[[], Any]] = {
    **{name: lambda name=name: [_numbers().to(getattr(torch, name))] for name in DTYPES},
    "shapes": lambda: [torch.tensor(3), torch.empty(0, 3), torch.ones(2, 1, 3), torch.ones(70_000)],
    "orders": lambda: [torch.randn(3, 4).t(), torch.randn(1, 2, 3, 4).to(memory_format=torch.channels_last)],
    "parameters": lambda: [*torch.nn.Linear(2, 3).parameters(), torch.nn.Parameter(torch.ones(2), False)],
    "one that learns": lambda: [torch.ones(2, requires_grad=True)],
    "a state dict": _ordered,
    "values": lambda: [torch.ones(1), None, True, 1, -1, 2**70, -(2**2000), 1.5],
    "texts": lambda: [torch.ones(1), "ü", b"\xff\0", bytearray(b"x"), 1j],
    "containers": lambda: [torch.ones(1), (), (1,), (1, 2, 3, 4), {1: "a", (2, 3): "b"}, {"a": []}, {3, 4}],
    "long": lambda: [torch.ones(1), [*range(5000)], {f"k{i}": float(i) for i in range(3000)}],
    "long texts": lambda: [torch.ones(1), ["x" * i for i in range(99)]],
    "of PyTorch": lambda: [torch.ones(1), torch.Size([2]), *map(torch.device, ("cuda:1", "cpu")), torch.half],
    "ordered": lambda: OrderedDict(a=torch.ones(2), b=OrderedDict()),
}  # fmt: skip


def same(a: Any, b: Any) -> bool:
    if type(a) is not type(b):
        return False
    if isinstance(a, torch.Tensor):
        alike = (a.dtype, a.shape, a.requires_grad) == (b.dtype, b.shape, b.requires_grad)
        return alike and a.detach().contiguous().view(-1).view(torch.uint8).equal(
            b.detach().contiguous().view(-1).view(torch.uint8)
        )
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)) and not isinstance(a, torch.Size):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


@pytest.mark.parametrize("name", VALUES)
def test_a_value_is_what_it_was(name: str, tmp_path: Path) -> None:
    value = VALUES[name]()
    saver.dump(value, tmp_path / "a.saver")
    assert saver.export(tmp_path / "a.saver", tmp_path / "a.pt").losses == ()
    assert same(torch.load(tmp_path / "a.pt", weights_only=True), value)
    assert same(torch.load(tmp_path / "a.pt", weights_only=True, mmap=True), value)
    assert same(saver.load(tmp_path / "a.pt"), value)
    with zipfile.ZipFile(tmp_path / "a.pt") as archive:
        assert archive.testzip() is None


def test_the_metadata_of_a_state_dict_stays(tmp_path: Path) -> None:
    saver.dump(_ordered(), tmp_path / "a.saver")
    saver.export(tmp_path / "a.saver", tmp_path / "a.bin")
    assert torch.load(tmp_path / "a.bin", weights_only=True)._metadata == _ordered()._metadata


def test_views_share_a_storage_and_what_was_one_is_one(tmp_path: Path) -> None:
    whole = torch.randn(50, 60)
    both = torch.zeros(4)
    saver.dump({"a": [whole, whole[1:3], whole.t(), whole], "b": both, "c": [both]}, tmp_path / "a.saver")
    saver.export(tmp_path / "a.saver", tmp_path / "a.pth")
    found = torch.load(tmp_path / "a.pth", weights_only=True)
    first, rows, turned, again = found["a"]
    first.fill_(7)
    assert again is first
    assert (rows == 7).all()
    assert (turned == 7).all()
    assert found["b"] is found["c"][0]
    assert (tmp_path / "a.pth").stat().st_size < 2 * whole.nbytes


def test_a_loop_stays_one(tmp_path: Path) -> None:
    saver.dump(_loop(), tmp_path / "a.saver")
    saver.export(tmp_path / "a.saver", tmp_path / "a.pt")
    found = torch.load(tmp_path / "a.pt", weights_only=True)
    assert found[1]["again"] is found


@pytest.mark.shows("Files of PyTorch", "save")
def test_a_module_and_its_optimizer_are_written_as_their_state_dicts(tmp_path: Path) -> None:
    net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    optimizer = torch.optim.Adam(
        [{"params": net[0].parameters()}, {"params": net[1].parameters(), "lr": 0.5}]
    )
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 3)
    net(torch.ones(5, 3)).sum().backward()
    optimizer.step(), schedule.step()
    store = saver.Saver(tmp_path / "models")
    store.save("net", {"net": net, "optimizer": optimizer, "schedule": schedule, "epoch": 3})
    lost = store.export("net", tmp_path / "net.pt").losses
    found = torch.load(tmp_path / "net.pt", weights_only=True)
    assert same(dict(found["net"]), dict(net.state_dict()))
    assert same(found["optimizer"]["state"], optimizer.state_dict()["state"])
    assert found["optimizer"]["param_groups"] == optimizer.state_dict()["param_groups"]
    assert found["epoch"] == 3
    assert found["schedule"]["last_epoch"] == 1
    assert {loss.place for loss in lost} >= {"$.net", "$.optimizer", "$.schedule"}
    other = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    other.load_state_dict(found["net"])
    again = torch.optim.Adam([{"params": other[0].parameters()}, {"params": other[1].parameters()}])
    again.load_state_dict(found["optimizer"])
    store.export("net", tmp_path / "sole.pt", parts=["net"])
    assert same(dict(torch.load(tmp_path / "sole.pt", weights_only=True)), dict(net.state_dict()))


def test_what_has_no_form_is_listed_and_keeps_no_place_but_in_lists(tmp_path: Path) -> None:
    value = {
        "w": torch.ones(2), "array": np.arange(3.0), "number": np.float32(2.5), "text": np.array(["a"]),
        "frozen": frozenset({1}), "turned": torch.randn(2, dtype=torch.complex64).conj(),
        "sparse": torch.eye(3).to_sparse(), "list": [1, range(3), 2], "huge": 2**2100, "surrogate": "\ud800",
    }  # fmt: skip
    saver.dump(value, tmp_path / "a.saver")
    lost = {loss.place: loss.what for loss in saver.export(tmp_path / "a.saver", tmp_path / "a.pt").losses}
    found = torch.load(tmp_path / "a.pt", weights_only=True)
    assert found["array"].equal(torch.arange(3.0, dtype=torch.float64))
    assert found["number"] == 2.5
    assert found["list"] == [1, None, 2]
    assert found["frozen"] == {1}
    assert "turned" not in found
    assert "text" not in found
    assert {
        f"$.{name}" for name in ("array", "number", "text", "frozen", "turned", "sparse", "huge", "surrogate")
    } <= lost.keys()
    assert "$.list[1]" in lost


def test_arrays_of_another_library_are_written_by_name(tmp_path: Path) -> None:
    linear = pytest.importorskip("sklearn.linear_model")
    saver.dump(linear.Ridge().fit(np.eye(3), [1.0, 2.0, 3.0]), tmp_path / "a.saver")
    saver.export(tmp_path / "a.saver", tmp_path / "a.pt")
    assert torch.load(tmp_path / "a.pt", weights_only=True)["coef_"].shape == (3,)


def test_nothing_to_write_is_an_error(tmp_path: Path) -> None:
    saver.dump({"a": 1}, tmp_path / "a.saver")
    with pytest.raises(IncompatibleError, match="no arrays in it"):
        saver.export(tmp_path / "a.saver", tmp_path / "a.pt")
    assert [path.name for path in tmp_path.iterdir()] == ["a.saver"]


def test_a_file_object_takes_it(tmp_path: Path) -> None:
    saver.dump([torch.ones(3)], tmp_path / "a.saver")
    memory = io.BytesIO()
    saver.export(tmp_path / "a.saver", memory, format="torch")
    memory.seek(0)
    assert torch.load(memory, weights_only=True)[0].equal(torch.ones(3))


def test_equal_versions_make_equal_files(tmp_path: Path) -> None:
    saver.dump([torch.ones(3_000_000)], tmp_path / "a.saver")
    for name in ("a.pt", "b.pt"):
        saver.export(tmp_path / "a.saver", tmp_path / name)
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "b.pt").read_bytes()


def test_a_tuple_within_itself_is_written_as_python_writes_it() -> None:
    import pickle

    inner: list[Any] = []
    outer = (1, inner)
    inner.append(outer)
    text, *_ = Writer(2).pieces(outer)
    found = pickle.loads(bytes(text))
    assert found[1][0] is found


def test_calls_with_items_pairs_and_a_state() -> None:
    import pickle
    from collections import deque

    made = Call(Global("collections", "OrderedDict"), pairs=[("a", Elements([1], True))])
    row = Call(Global("collections", "deque"), ((), 5), items=[made, made])
    text, *_ = Writer(3).pieces(Pairs([("x", row), ("y", b"bytes")]))
    found = pickle.loads(bytes(text))
    assert found["x"] == deque([{"a": {1}}, {"a": {1}}], 5)
    assert found["x"][0] is found["x"][1]
    assert found["y"] == b"bytes"
