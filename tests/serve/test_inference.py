"""The Open Inference Protocol: by hand, and by the client of Triton where one is found."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from irises import X
from visits import Running

import saver
from saver.schema import Field, to_rows
from saver.schema.fields import DTYPES
from saver.serve.refusals import Refusal
from saver.serve.tensors import DATATYPES, fitted, read_inputs, split, wanted_outputs, write_outputs

INFER = "/v2/models/iris/infer"


def tensor(rows: int = 2, **changed: Any) -> dict[str, Any]:
    return {
        "name": "input", "shape": [rows, 4], "datatype": "FP64", "data": X[:rows].ravel().tolist(), **changed
    }  # fmt: skip


def test_health_and_metadata(shared: Running) -> None:
    assert shared.ask("/v2/health/live").json == {"live": True}
    assert shared.ask("/v2/health/ready").json == {"ready": True}
    assert shared.ask("/v2").json["extensions"] == ["binary_tensor_data", "model_repository"]
    found = shared.ask("/v2/models/iris").json
    assert found["versions"] == ["1"]
    assert found["inputs"] == [{"name": "input", "datatype": "FP64", "shape": [-1, 4]}]
    assert {each["name"] for each in found["outputs"]} >= {"prediction"}
    assert shared.ask("/v2/models/iris/versions/1").json == found
    assert shared.ask("/v2/models/iris/versions/1/ready").json["ready"]
    assert shared.ask("/v2/models/iris/ready").status == 200
    assert shared.ask("/v2/models/iris/versions/2/ready").status == 404
    assert shared.ask("/v2/models/rose/ready").status == 404
    assert shared.ask("/v2/repository/index", {}).json[0]["state"] == "READY"


@pytest.mark.parametrize("path", [INFER, "/v2/models/iris/versions/1/infer"])
@pytest.mark.parametrize("nested", [False, True])
def test_inference_with_json(shared: Running, ready_store: saver.Saver, path: str, nested: bool) -> None:
    data = X[:2].tolist() if nested else X[:2].ravel().tolist()
    found = shared.ask(path, {"id": "seven", "inputs": [tensor(data=data)]}).json
    assert (found["id"], found["model_name"], found["model_version"]) == ("seven", "iris", "1")
    expected = ready_store.predictor("iris@1").answer(X[:2])
    for output in found["outputs"]:
        assert output["shape"] == list(expected[output["name"]].shape)
        assert output["data"] == expected[output["name"]].ravel().tolist()


def test_inference_with_binary_data(shared: Running, ready_store: saver.Saver) -> None:
    data = np.ascontiguousarray(X[:3], "<f8").tobytes()
    inputs = [tensor(3, parameters={"binary_data_size": len(data)})]
    del inputs[0]["data"]
    head = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
    headers = {"inference-header-content-length": str(len(head)), "content-type": "application/octet-stream"}
    found = shared.ask(INFER, head + data, headers)
    assert found.status == 200, found
    length = int(found.headers["inference-header-content-length"])
    answer, rest = json.loads(found.data[:length]), found.data[length:]
    expected = ready_store.predictor("iris@1").answer(X[:3])
    for output in answer["outputs"]:
        size = output["parameters"]["binary_data_size"]
        values = np.frombuffer(rest[:size], DATATYPES[output["datatype"]]).reshape(output["shape"])
        assert np.array_equal(values, expected[output["name"]])
        rest = rest[size:]
    assert rest == b""


@pytest.mark.parametrize(
    "request_",
    [
        {}, [], {"inputs": []}, {"inputs": [1]}, {"inputs": {}}, {"inputs": [tensor(name=7)]},
        {"inputs": [tensor(), tensor()]}, {"inputs": [tensor(shape=[2])]},
        {"inputs": [tensor(shape=[-2, 4])]},
        {"inputs": [tensor(shape=[2, 4.0])]}, {"inputs": [tensor(shape=[1 << 62, 1 << 62])]},
        {"inputs": [tensor(shape=[True, 4])]}, {"inputs": [tensor(shape="2,4")]},
        {"inputs": [tensor(datatype="FP128")]}, {"inputs": [tensor(datatype=None)]},
        {"inputs": [tensor(datatype="BYTES")]}, {"inputs": [tensor(data=["a"] * 8)]},
        {"inputs": [tensor(data=[True] * 8)]}, {"inputs": [tensor(data=[[1, 2], 3])]},
        {"inputs": [tensor(datatype="INT8", data=[300] * 8)]}, {"inputs": [tensor(datatype="INT64")]},
        {"inputs": [tensor(parameters=[])]}, {"inputs": [tensor(parameters={"binary_data_size": 5})]},
        {"inputs": [tensor(name="other")]}, {"inputs": [tensor()], "id": 5},
        {"inputs": [tensor()], "outputs": [{"name": "none"}]}, {"inputs": [tensor()], "outputs": 5},
        {"inputs": [tensor()], "parameters": 5}, {"inputs": [tensor(shape=[20_000, 4])]},
    ],
    ids=lambda value: json.dumps(value)[:60],
)  # fmt: skip
def test_a_malformed_request_is_refused(shared: Running, request_: Any) -> None:
    found = shared.ask(INFER, request_)
    assert found.status in (400, 413, 422), found
    assert isinstance(found.json["error"], str)


@pytest.mark.parametrize("length", ["-1", "x", "99999", "1e3", "٣", "9" * 40, "0"])
def test_a_wrong_length_of_the_json_is_refused(shared: Running, length: str) -> None:
    headers = {"inference-header-content-length": length}
    raw = {name: value.encode("utf-8").decode("latin-1") for name, value in headers.items()}
    assert shared.ask(INFER, {"inputs": [tensor()]}, raw).status == 400


def nestings(values: int) -> list[Any]:
    """All lists of lists that hold 0, 1, … in this order, of three axes at most."""
    found: list[Any] = []
    for sizes in cuts(values):
        at = iter(range(values))
        rows = [[next(at) for _ in range(size)] for size in sizes]
        found += [rows, *([rows[:cut], rows[cut:]] for cut in range(len(rows) + 1)), [rows]]
    return found


def cuts(count: int) -> list[list[int]]:
    """All ways to write a number as a sum of sizes, in their order."""
    if count == 0:
        return [[]]
    return [[first, *rest] for first in range(1, count + 1) for rest in cuts(count - first)]


@pytest.mark.parametrize("shape", [(4,), (2, 2), (4, 1), (1, 4), (2, 2, 1), (1, 2, 2), (2, 1, 2), (4, 1, 1)])
def test_nested_data_have_the_shape_that_they_say_or_none(shape: tuple[int, ...]) -> None:
    whole = np.arange(4).reshape(shape)
    for data in [list(range(4)), *nestings(4)]:
        given = {"name": "x", "shape": list(shape), "datatype": "INT64", "data": data}
        if data == whole.tolist() or data == whole.ravel().tolist():
            assert np.array_equal(read_inputs({"inputs": [given]}, b"", 10)["x"], whole)
        else:
            with pytest.raises(Refusal, match="x"):
                read_inputs({"inputs": [given]}, b"", 10)


ALL = [np.array([[0, 1], [1, 1]]).astype(dtype) for dtype in DATATYPES.values()]
TEXTS = np.array([["a", ""], ["ü\0", "b" * 300]], object)


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("array", [*ALL, TEXTS], ids=lambda array: str(array.dtype))
def test_every_datatype_goes_out_and_comes_in_again(array: np.ndarray[Any, Any], binary: bool) -> None:
    body, length = write_outputs({"model_name": "m"}, {"x": array}, {"x": binary})
    head, rest = split(body, None if length is None else str(length))
    outputs = json.loads(head)["outputs"]
    found = read_inputs({"inputs": outputs}, rest, 10)["x"]
    assert found.dtype == array.dtype
    assert np.array_equal(found, array)


@pytest.mark.parametrize(
    "dtype", sorted(each for each in DTYPES if each.startswith(("date", "time", "complex")))
)
def test_times_and_complex_numbers_are_the_texts_of_rows(dtype: str) -> None:
    array = np.array([[0, 1_700_000_000], [-5, 2]], np.int64).astype(dtype)
    array[1, 1] = np.array("NaT" if array.dtype.kind in "Mm" else np.nan, array.dtype)
    rows = [row["x"] for row in json.loads(json.dumps(to_rows({"x": array})))]
    assert rows[0] == array[0].astype(str).tolist()
    assert rows[1][1] is None
    for binary in (False, True):
        body, length = write_outputs({}, {"x": array}, {"x": binary})
        head, rest = split(body, None if length is None else str(length))
        found = read_inputs({"inputs": json.loads(head)["outputs"]}, rest, 10)["x"]
        assert found.tolist() == [[each or "" for each in row] for row in rows]


def test_any_cut_of_binary_texts_is_refused() -> None:
    body, length = write_outputs({}, {"x": TEXTS}, {"x": True})
    assert length is not None
    (output,) = json.loads(body[:length])["outputs"]
    rest = body[length:]
    for end in range(len(rest)):
        cut = {**output, "parameters": {"binary_data_size": end}}
        with pytest.raises(Refusal):
            read_inputs({"inputs": [cut]}, rest[:end], 10)
    huge = struct.pack("<I", 0xFFFFFFFF) + rest[4:]
    with pytest.raises(Refusal):
        read_inputs({"inputs": [output]}, huge, 10)


def test_a_column_may_have_an_axis_of_one() -> None:
    fields = (Field(name="a", dtype="float64"), Field(name="b", dtype="float64", shape=(None, 1)))
    found = fitted({"a": np.zeros((3, 1)), "b": np.zeros((3, 1))}, fields)
    assert [array.shape for array in found.values()] == [(3,), (3, 1)]


def test_outputs_are_chosen_one_by_one() -> None:
    wanted = {"outputs": [{"name": "b", "parameters": {"binary_data": True}}]}
    assert wanted_outputs(wanted, ("a", "b")) == ({"b": True}, True)
    assert wanted_outputs({}, ("a", "b")) == ({"a": False, "b": False}, False)


CLIENT = """
import sys
import numpy as np
import tritonclient.http as http

client = http.InferenceServerClient(sys.argv[1])
assert client.is_server_live() and client.is_server_ready()
assert client.is_model_ready("iris") and client.is_model_ready("iris", "1")
assert not client.is_model_ready("rose") and not client.is_model_ready("iris", "2")
assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
described = client.get_model_metadata("iris")
assert client.get_model_repository_index()[0]["name"] == "iris"
rows = np.load(sys.argv[2])
for binary in (True, False):
    for compressed in (None, "gzip", "deflate"):
        tensor = http.InferInput("input", list(rows.shape), "FP64")
        tensor.set_data_from_numpy(rows, binary_data=binary)
        names = [each["name"] for each in described["outputs"]]
        outputs = [http.InferRequestedOutput(name, binary_data=binary) for name in names]
        for wanted in (outputs, None):
            found = client.infer("iris", [tensor], outputs=wanted, request_id="x",
                                 request_compression_algorithm=compressed)
            assert found.get_response()["id"] == "x"
            assert (found.as_numpy("prediction") == np.load(sys.argv[3])).all()
try:
    tensor = http.InferInput("input", [1, 3], "FP64")
    tensor.set_data_from_numpy(np.zeros((1, 3)))
    client.infer("iris", [tensor])
except http.InferenceServerException as error:
    assert "shape" in str(error), error
    print("done")
"""


def python_of_triton() -> str:
    """A Python that has tritonclient: this one, or that of $SAVER_TRITON."""
    candidates = [os.environ.get("SAVER_TRITON", ""), sys.executable]
    for each in filter(None, candidates):
        if shutil.which(each) is not None:
            done = subprocess.run([each, "-c", "import tritonclient.http"], capture_output=True, check=False)
            if done.returncode == 0:
                return each
    pytest.skip("tritonclient[http] is not installed, here or in the environment of $SAVER_TRITON")


def test_the_client_of_triton(shared: Running, ready_store: saver.Saver, tmp_path: Path) -> None:
    python = python_of_triton()
    np.save(tmp_path / "rows.npy", X[:5])
    np.save(tmp_path / "expected.npy", ready_store.predictor("iris@1").answer(X[:5])["prediction"])
    names = [str(tmp_path / name) for name in ("rows.npy", "expected.npy")]
    environment = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [python, "-c", CLIENT, f"127.0.0.1:{shared.port}", *names],
        capture_output=True, text=True, timeout=300, check=False, env=environment,
    )  # fmt: skip
    assert done.stdout == "done\n", done.stderr
