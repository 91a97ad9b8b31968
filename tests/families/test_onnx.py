"""ONNX models come back to the byte, share what they have in common, and name no files."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

import saver  # noqa: E402
from saver.errors import CannotSaveError, IncompatibleError, SaverError  # noqa: E402
from saver.tensors import TensorData, pieces  # noqa: E402
from saver.testing import CodecTests  # noqa: E402
from saver.testing.codecs import StoredObject, load  # noqa: E402

pytestmark = pytest.mark.xdist_group("onnx")


def model(seed: int = 0, dtype: Any = np.float32, width: int = 20) -> Any:
    """A large matrix, and a head of another seed."""
    draw, head = np.random.default_rng(0), np.random.default_rng(seed)
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    weights = [
        numpy_helper.from_array((draw.normal(size=(width, width)) * 9).astype(dtype), "body"),
        numpy_helper.from_array((head.normal(size=(width, 1)) * 9).astype(dtype), "head"),
    ]
    nodes = [
        helper.make_node("MatMul", ["x", "body"], ["hidden"]),
        helper.make_node("MatMul", ["hidden", "head"], ["y"]),
    ]
    shapes = [
        helper.make_tensor_value_info(name, kind, ["n", size]) for name, size in (("x", width), ("y", 1))
    ]
    graph = helper.make_graph(nodes, "net", shapes[:1], shapes[1:], weights)
    found = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    helper.set_model_props(found, {"author": "one", "about": "other"})
    return found


def branching() -> Any:
    """A model with a graph in a node, which holds a tensor."""
    inner = helper.make_graph(
        [helper.make_node("Constant", [], ["out"], value=numpy_helper.from_array(np.ones(3, np.float32)))],
        "inner", [], [helper.make_tensor_value_info("out", TensorProto.FLOAT, [3])],
    )  # fmt: skip
    node = helper.make_node("If", ["condition"], ["y"], then_branch=inner, else_branch=inner)
    graph = helper.make_graph(
        [node], "outer", [helper.make_tensor_value_info("condition", TensorProto.BOOL, [])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [3])],
    )  # fmt: skip
    return helper.make_model(graph)


class TestModels(CodecTests):
    family = "onnx"
    samples: ClassVar[dict[str, Callable[[], Any]]] = {
        "model": model, "branching": branching, "empty": onnx.ModelProto,
    }  # fmt: skip


@pytest.mark.parametrize("dtype", ["f4", "f8", "f2", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?"])
def test_every_dtype_comes_back_to_the_byte(dtype: str) -> None:
    made = model(dtype=np.dtype(dtype), width=50)
    found = saver.loads(saver.dumps(made))
    assert type(found) is onnx.ModelProto
    assert found.SerializeToString(deterministic=True) == made.SerializeToString(deterministic=True)


def test_weights_of_kinds_that_safetensors_lacks_come_back() -> None:
    made = model()
    made.graph.initializer[0].data_type = TensorProto.FLOAT8E4M3FNUZ
    made.graph.initializer.append(helper.make_tensor("texts", TensorProto.STRING, [2], [b"a", b"b"]))
    found = saver.loads(saver.dumps(made))
    assert found == made


@pytest.mark.shows("ONNX", "save", "load")
@pytest.mark.slow
def test_a_fresh_process_computes_the_same(tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    made, given = model(), np.ones((4, 20), np.float32)
    session = runtime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    saver.dump({"model": made, "x": given}, tmp_path / "model.saver")
    program = (
        "import saver, onnxruntime, sys\n"
        f"found = saver.load({str(tmp_path / 'model.saver')!r})\n"
        "session = onnxruntime.InferenceSession(found['model'].SerializeToString(),"
        " providers=['CPUExecutionProvider'])\n"
        f"saver.dump(session.run(None, {{'x': found['x']}})[0], {str(tmp_path / 'y.saver')!r})\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True, timeout=120)
    assert saver.load(tmp_path / "y.saver").tobytes() == session.run(None, {"x": given})[0].tobytes()


def test_versions_share_the_weights_that_did_not_change(tmp_path: Path) -> None:
    store = saver.Saver(tmp_path)
    first = store.save("net", {"model": model(0, width=400)})
    second = store.save("net", {"model": model(1, width=400)})
    assert first.bytes_added > 640_000
    assert second.bytes_added < 20_000


@pytest.mark.parametrize("where", ["initializer", "inside"])
def test_a_model_that_names_files_is_refused(where: str, tmp_path: Path) -> None:
    made = model() if where == "initializer" else branching()
    tensor = (
        made.graph.initializer[0]
        if where == "initializer"
        else made.graph.node[0].attribute[0].g.node[0].attribute[0].t
    )
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../../secret"
    with pytest.raises(CannotSaveError, match="a file of its own"):
        saver.dumps(made)
    with pytest.raises(IncompatibleError, match="a file of its own"):
        load(_with_message(made.SerializeToString()), ())


def _with_message(message: bytes) -> StoredObject:
    """A stored model whose message is another."""
    saved = StoredObject(branching())
    (name,) = saved.tensors
    saved.tensors[name] = TensorData("U8", (len(message),), np.frombuffer(message, np.uint8))
    return saved


@pytest.mark.parametrize("size", [0, 3, 1599, 1601])
def test_weights_that_do_not_fill_their_shape_are_refused(size: int) -> None:
    made = model()
    made.graph.initializer[0].raw_data = bytes(size)
    with pytest.raises(CannotSaveError, match="bytes, not 1600"):
        saver.dumps(made)
    with pytest.raises(IncompatibleError, match="bytes, not 1600"):
        load(_with_message(made.SerializeToString()), ())


@pytest.mark.parametrize("index", ["-1", "2", "99999999999999999999", "x", "\u0661"])
def test_a_weight_without_a_place_is_refused(index: str) -> None:
    saved = StoredObject(model())
    weights = next(node for node in saved.nodes() if node["$"] == "onnx.model")["state"]["weights"]
    weights[index] = weights.pop("0")
    with pytest.raises(IncompatibleError):
        load(saved, ())


@pytest.mark.slow
@pytest.mark.shows("ONNX", "hostile files tried")
def test_changed_messages_are_refused_or_a_model(record_property: Callable[[str, int], None]) -> None:
    record_property("hostile files", 2000)
    (data,) = StoredObject(branching()).tensors.values()
    honest, draw, taken = b"".join(map(bytes, pieces(data))), random.Random(0), 0
    for _ in range(2000):
        message = bytearray(honest)
        for _ in range(draw.randrange(1, 4)):
            message[draw.randrange(len(message))] = draw.randrange(256)
        if draw.random() < 0.2:
            del message[draw.randrange(len(message)) :]
        try:
            found = load(_with_message(bytes(message)), ())
        except SaverError:
            continue
        assert type(found) is onnx.ModelProto
        taken += 1
    assert taken


@pytest.mark.shows("ONNX", "restore")
def test_a_model_is_restored_in_place(tmp_path: Path) -> None:
    store = saver.Saver(tmp_path)
    store.save("net", {"net": model(1)})
    target = model(2)
    held = target.graph
    store.restore("net", into={"net": target})
    assert target.SerializeToString(deterministic=True) == model(1).SerializeToString(deterministic=True)
    assert held.name == target.graph.name
