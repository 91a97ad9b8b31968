"""Files of ONNX are values: read without running them, written to the same bytes, and refused if unsound."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

import saver  # noqa: E402
from families.test_onnx import branching, model  # noqa: E402
from saver.errors import IncompatibleError, SaverError  # noqa: E402
from saver.formats import _onnx  # noqa: E402
from saver.formats import onnx as format_  # noqa: E402
from saver.protobuf import encoded as varint  # noqa: E402
from saver.protobuf import spans  # noqa: E402

pytestmark = pytest.mark.xdist_group("onnx")


def mixed() -> Any:
    """Weights of every kind: large and small, of dtypes that are not NumPy's, texts, empty, and typed."""
    made = model(width=30)
    for number, dtype in enumerate(["f8", "f2", "i1", "u1", "i2", "i8", "u8", "?"]):
        array = np.arange(4096).astype(dtype)
        made.graph.initializer.append(numpy_helper.from_array(array, f"w{number}"))
    made.graph.initializer.append(
        helper.make_tensor("bf", TensorProto.BFLOAT16, [600], bytes(1200), raw=True)
    )
    made.graph.initializer.append(helper.make_tensor("typed", TensorProto.FLOAT, [300], np.ones(300)))
    made.graph.initializer.append(helper.make_tensor("texts", TensorProto.STRING, [2], [b"a", b"b"]))
    made.graph.initializer.append(numpy_helper.from_array(np.zeros((0, 3), np.float32), "empty"))
    made.graph.initializer[0].doc_string = "a field behind the bytes"
    return made


MODELS: dict[str, Callable[[], Any]] = {
    "large": lambda: model(width=50), "small": lambda: model(width=3), "branching": branching, "mixed": mixed,
}  # fmt: skip


def put(made: Any, path: Path) -> bytes:
    path.write_bytes(made.SerializeToString())
    return path.read_bytes()


@pytest.mark.parametrize("name", MODELS)
def test_a_file_is_the_model_and_is_written_to_the_same_bytes(name: str, tmp_path: Path) -> None:
    made = MODELS[name]()
    data = put(made, tmp_path / "a.onnx")
    assert saver.load(tmp_path / "a.onnx") == made
    assert saver.loads(data) == made
    store = saver.Saver(tmp_path / "store")
    store.import_(tmp_path / "a.onnx", "net")
    assert store.load("net") == made
    done = store.export("net", tmp_path / "b.onnx")
    assert (done.format, done.losses) == ("onnx", ())
    assert (tmp_path / "b.onnx").read_bytes() == data
    store.save("parts", {"net": made, "threshold": 0.5})
    store.export("parts", tmp_path / "c.onnx", parts=["net"])
    assert (tmp_path / "c.onnx").read_bytes() == data


def test_weights_of_a_file_are_tensors_that_versions_share(tmp_path: Path) -> None:
    put(model(0, width=400), tmp_path / "a.onnx")
    put(model(1, width=400), tmp_path / "b.onnx")
    store = saver.Saver(tmp_path / "store")
    assert store.import_(tmp_path / "a.onnx", "net").bytes_added > 640_000
    assert store.import_(tmp_path / "b.onnx", "net").bytes_added < 20_000
    shown = saver.describe(tmp_path / "a.onnx")
    assert "onnx" in str(shown)
    assert not shown.untrusted


def encoded(number: int, data: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(data)) + data


def spread(data: bytes) -> bytes:
    """The same message, whose outermost lengths are written with a byte more than they need."""
    found, view = b"", memoryview(data)
    for field in spans(view, 0, len(view)):
        if field.number == 7:
            length = bytearray(varint(field.end - field.start))
            length[-1] |= 0x80
            found += b"\x3a" + bytes(length) + b"\0" + data[field.start : field.end]
        else:
            found += data[field.begin : field.end]
    return found


def turned(data: bytes) -> bytes:
    """The same message, whose first weight has its bytes before its name."""
    message = model(width=50)
    graph, first = message.graph, message.graph.initializer[0]
    raw = encoded(9, first.raw_data)
    first.ClearField("raw_data")
    tensors = [raw + first.SerializeToString(), graph.initializer[1].SerializeToString()]
    del graph.initializer[:]
    rest = graph.SerializeToString()
    message.ClearField("graph")
    whole = rest + b"".join(encoded(5, tensor) for tensor in tensors)
    return message.SerializeToString() + encoded(7, whole)


@pytest.mark.parametrize("change", [spread, turned, lambda data: data + encoded(900, b"news")])
def test_unusual_bytes_are_kept_as_they_are(change: Callable[[bytes], bytes], tmp_path: Path) -> None:
    made = model(width=50)
    data = change(made.SerializeToString())
    (tmp_path / "a.onnx").write_bytes(data)
    found = saver.load(tmp_path / "a.onnx")
    assert found.graph.initializer[0].raw_data == made.graph.initializer[0].raw_data
    saver.export(tmp_path / "a.onnx", tmp_path / "b.onnx")
    assert (tmp_path / "b.onnx").read_bytes() == data


def test_saver_knows_every_message_that_leads_to_a_tensor() -> None:
    """By the numbers of the library itself."""
    names = {
        "ModelProto": "model", "GraphProto": "graph", "NodeProto": "node", "AttributeProto": "attribute",
        "FunctionProto": "function", "TrainingInfoProto": "training", "SparseTensorProto": "sparse",
        "TensorProto": "tensor",
    }  # fmt: skip
    seen, waiting, leads = set(), [onnx.ModelProto.DESCRIPTOR], set[str]()
    found: dict[str, dict[int, str]] = {}
    while waiting:
        kind = waiting.pop()
        if kind.name in seen:
            continue
        seen.add(kind.name)
        held = {field.number: field.message_type for field in kind.fields if field.message_type is not None}
        found[kind.name] = {number: each.name for number, each in held.items()}
        waiting += held.values()
    leads = {"TensorProto"}
    while more := {name for name, held in found.items() if leads & {*held.values()}} - leads:
        leads |= more
    assert {
        names[name]: {number: names[each] for number, each in found[name].items() if each in leads}
        for name in leads
    } == {name: dict(held) for name, held in _onnx.HOLDS.items()}


def test_weights_become_tensors_as_those_of_the_codec_do() -> None:
    from saver.families.onnx import codecs
    from saver.tensors import NUMPY_DTYPE

    assert {number: np.dtype(dtype) for number, dtype in codecs._DTYPES.items()} == {
        number: NUMPY_DTYPE[name] for number, name in _onnx.DTYPES.items()
    }
    assert codecs.LARGE == _onnx.LARGE


# Weights in other files


def beside(folder: Path, **entries: str) -> Path:
    """A model whose first weight is in `a.bin`, unless entries say something else."""
    onnx.save(
        model(width=50), folder / "a.onnx", save_as_external_data=True, location="a.bin", size_threshold=1
    )
    if entries:
        changed = onnx.load(folder / "a.onnx", load_external_data=False)
        for pair in changed.graph.initializer[0].external_data:
            pair.value = entries.pop(pair.key, pair.value)
        for key, value in entries.items():
            pair = changed.graph.initializer[0].external_data.add()
            pair.key, pair.value = key, value
        (folder / "a.onnx").write_bytes(changed.SerializeToString())
    return folder / "a.onnx"


def test_weights_in_a_file_of_the_same_folder_are_read(tmp_path: Path) -> None:
    found = saver.load(beside(tmp_path))
    assert found == onnx.load(tmp_path / "a.onnx")
    with pytest.raises(IncompatibleError, match="pass the path"):
        saver.loads((tmp_path / "a.onnx").read_bytes())


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ({"location": "../a.bin"}, "not a file in its own folder"),
        ({"location": "/etc/passwd"}, "not a file in its own folder"),
        ({"location": "x\\a.bin"}, "not a file in its own folder"),
        ({"location": ""}, "not a file in its own folder"),
        ({"location": "missing.bin"}, "missing.bin"),
        ({"offset": "5000"}, "which does not have"),
        ({"offset": "99999999"}, "which does not have"),
        ({"offset": "-4"}, "not a place in a file"),
        ({"offset": "9" * 5000}, "not a place in a file"),
        ({"length": "8"}, "which does not have"),
        ({"length": "x"}, "not a place in a file"),
    ],
)  # fmt: skip
def test_other_places_are_refused(entries: dict[str, str], said: str, tmp_path: Path) -> None:
    (tmp_path.parent / "a.bin").write_bytes(bytes(100_000))
    (tmp_path / "folder").mkdir()
    with pytest.raises(SaverError, match=said):
        saver.load(beside(tmp_path / "folder", **entries))


def test_bytes_that_many_weights_claim_are_refused(tmp_path: Path) -> None:
    """Otherwise a small file would be read a thousand times."""
    beside(tmp_path)
    changed = onnx.load(tmp_path / "a.onnx", load_external_data=False)
    for number in range(1000):
        changed.graph.initializer.add().CopyFrom(changed.graph.initializer[0])
        changed.graph.initializer[-1].name = f"w{number}"
    (tmp_path / "a.onnx").write_bytes(changed.SerializeToString())
    with pytest.raises(IncompatibleError, match="other tensors have"):
        saver.load(tmp_path / "a.onnx")


def test_a_tensor_in_a_node_names_no_file(tmp_path: Path) -> None:
    made = branching()
    tensor = made.graph.node[0].attribute[0].g.node[0].attribute[0].t
    tensor.data_location = TensorProto.EXTERNAL
    put(made, tmp_path / "a.onnx")
    with pytest.raises(IncompatibleError, match="in a node lies in a file of its own"):
        saver.describe(tmp_path / "a.onnx")


def test_a_model_that_is_too_large_for_a_message_has_its_weights_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = mixed()
    put(made, tmp_path / "a.onnx")
    monkeypatch.setattr(format_, "LIMIT", 5000)
    saver.export(tmp_path / "a.onnx", tmp_path / "b.onnx")
    assert (tmp_path / "b.onnx").stat().st_size < 10_000
    found = onnx.load(tmp_path / "b.onnx")
    for tensor in found.graph.initializer:
        tensor.ClearField("data_location")
    assert found == made
    again = saver.load(tmp_path / "b.onnx")
    assert [each.raw_data for each in again.graph.initializer] == [
        each.raw_data for each in made.graph.initializer
    ]
    with (tmp_path / "c").open("wb") as file, pytest.raises(TypeError, match="several files"):
        saver.export(tmp_path / "a.onnx", file, format="onnx")


# Hostile files


def test_unsound_weights_are_refused_when_the_file_is_opened(tmp_path: Path) -> None:
    for size, dims in ((0, [50, 50]), (3, [50, 50]), (10_000, [-50, -50]), (10_000, [1] * 99)):
        made = model(width=50)
        made.graph.initializer[0].raw_data = bytes(size)
        del made.graph.initializer[0].dims[:]
        made.graph.initializer[0].dims.extend(dims)
        put(made, tmp_path / "a.onnx")
        with pytest.raises(IncompatibleError, match=r"bytes, not|has the shape"):
            saver.describe(tmp_path / "a.onnx")


def test_deep_graphs_are_refused(tmp_path: Path) -> None:
    graph = b""
    for _ in range(50_000):
        graph = encoded(1, encoded(5, encoded(6, graph)))
        if len(graph) > 200_000:
            break
    (tmp_path / "a.onnx").write_bytes(b"\x08\x09" + encoded(7, graph))
    with pytest.raises(IncompatibleError, match="nested too deep"):
        saver.load(tmp_path / "a.onnx")


@pytest.mark.parametrize(
    "data",
    [
        b"\x08", b"\x08\x09", b"\x08\x09\x3a", b"\x08\x09\x3a\x05ab", b"\x08\x09\x38\x01", b"\x08" * 400,
        struct.pack("<Q", 8) * 50, b"\x08\x09\x3b\x00",
    ],
)  # fmt: skip
def test_other_bytes_are_not_taken_for_a_model(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(data)
    with pytest.raises(IncompatibleError):
        saver.load(tmp_path / "a.bin")
    with pytest.raises(IncompatibleError):
        _import(tmp_path / "a.bin", tmp_path)


def _import(path: Path, folder: Path) -> None:
    saver.Saver(folder / "store").import_(path, "net", format="onnx")


@pytest.mark.slow
@pytest.mark.shows("ONNX", "hostile files tried")
def test_every_byte_changed_and_every_cut_is_refused_or_a_model(
    tmp_path: Path, record_property: Callable[[str, int], None]
) -> None:
    """What opens is a model whose export has the bytes of the file."""
    draw, tried, opened = random.Random(0), 0, 0
    for honest in (put(model(width=width), tmp_path / "a.onnx") for width in (3, 16)):
        places = [at for at in range(len(honest)) if at < 220 or at > len(honest) - 120]
        changed = [
            honest[:at] + bytes([value]) + honest[at + 1 :]
            for at in places
            for value in {honest[at] ^ 1, honest[at] ^ 0x80, 0xFF, draw.randrange(256)}
        ]
        for data in (*changed, *(honest[:at] for at in places)):
            tried += 1
            (tmp_path / "a.onnx").write_bytes(data)
            try:
                found = saver.load(tmp_path / "a.onnx")
            except SaverError:
                continue
            opened += type(found) is onnx.ModelProto
            saver.export(tmp_path / "a.onnx", tmp_path / "b.onnx", format="onnx")
            assert (tmp_path / "b.onnx").read_bytes() == data
    record_property("hostile files", tried)
    assert opened > 100


def test_a_forged_version_is_not_written(tmp_path: Path) -> None:
    """Weights without a place, or with two, and trees that are not those of a model."""
    from saver.formats.onnx import _held
    from saver.tree import Tensor

    message = Tensor("a")
    forged: list[Any] = [None, [], {}, {"model": 1, "weights": {}}, {"model": message}]
    forged += [
        {"model": message, "weights": each} for each in ({"x": message}, {"0": 5}, {"9" * 30: message})
    ]
    for state in forged:
        with pytest.raises(ValueError, match=r"no message|not the number"):
            _held(state)
    whole = model(width=50).SerializeToString()
    for lengths in ({0: 10_000}, {7: 4}):
        with pytest.raises(ValueError, match="place"):
            _onnx.joined(whole, lengths)
    with pytest.raises(ValueError, match="to unpack"):
        _onnx.joined(b"\x08\x09", {0: 4})
