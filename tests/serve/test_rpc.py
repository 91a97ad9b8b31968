"""The Open Inference Protocol over gRPC: message by message, and by the clients of Triton and KServe, where
they are found."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from irises import X
from visits import Running, Serve, until

import saver
from saver.protobuf import encoded, fields, packed, varints
from saver.serve.limits import Limits
from saver.serve.messages import CONTENTS, field, read_infer, read_named, texts, write_infer
from saver.serve.refusals import Refusal
from saver.serve.settings import Settings
from saver.serve.tensors import DATATYPES, read_inputs, write_outputs
from saver.serve.tokens import add_token

grpc = pytest.importorskip("grpc")
INFER = "ModelInfer"
Code = grpc.StatusCode


@pytest.fixture(scope="module")
def running(ready_store: saver.Saver) -> Iterator[Running]:
    limits = Limits(body_seconds=1, body_bytes=1_000_000, bodies_bytes=8_000_000)
    names = {"iris": "iris@production"}
    one = Running(Settings(store=str(ready_store.storage), names=names, port=0, grpc_port=0, limits=limits))
    yield one
    one.stop()


def channel(running: Running) -> Any:
    return grpc.insecure_channel(running.server.grpc_address)


def call(running: Running, method: str, data: bytes = b"", **options: Any) -> bytes:
    """One call on a connection of its own."""
    with channel(running) as line:
        act = line.unary_unary(f"/inference.GRPCInferenceService/{method}")
        found: bytes = act(data, timeout=30, **options)
        return found


def refused(running: Running, method: str, data: bytes = b"", **options: Any) -> Any:
    with pytest.raises(grpc.RpcError) as caught:
        call(running, method, data, **options)
    return caught.value


def shape_field(*sizes: int) -> bytes:
    return field(3, packed(np.array(sizes, np.int64).view(np.uint64)))


def request(
    rows: int = 2, *, raw: bool = True, name: str = "iris", input: str = "input", kind: str = "FP64",
    shape: tuple[int, ...] | None = None, data: bytes | None = None, more: bytes = b"",
) -> bytes:  # fmt: skip
    values = np.ascontiguousarray(X[:rows]).tobytes() if data is None else data
    tensor = texts(1, input) + texts(2, kind) + shape_field(*(shape if shape is not None else (rows, 4)))
    if not raw:
        tensor += field(5, field(7, values))
    return texts(1, name) + more + field(5, tensor) + (field(7, values) if raw else b"")


@pytest.mark.parametrize("raw", [False, True])
def test_an_inference(running: Running, ready_store: saver.Saver, raw: bool) -> None:
    found = answered(call(running, INFER, request(3, raw=raw, more=texts(3, "seven"))))
    expected = ready_store.predictor("iris@1").answer(X[:3])
    assert found.pop("") == ["iris", "1", "seven"]
    assert {*found} == {*expected}
    for name, array in found.items():
        assert np.array_equal(array, expected[name])


def answered(data: bytes) -> dict[str, Any]:
    """The outputs of an answer by name, and under an empty name the texts of its head."""
    found: dict[str, Any] = {"": []}
    every = list(fields(memoryview(data)))
    raws = [bytes(value) for number, value in every if number == 6 and not isinstance(value, int)]
    for number, value in every:
        assert not isinstance(value, int)
        if number < 4:
            found[""].append(bytes(value).decode())
        elif number == 5:
            tensor = dict(fields(value))
            kind, shape = bytes(tensor[2]).decode(), varints(tensor[3]).astype(int)
            if 5 not in tensor:
                array = np.frombuffer(raws.pop(0), DATATYPES[kind])
            elif kind.startswith("FP"):
                array = np.frombuffer(dict(fields(tensor[5]))[CONTENTS[kind]], DATATYPES[kind])
            else:
                array = varints(dict(fields(tensor[5]))[CONTENTS[kind]]).view(np.int64)
            found[bytes(tensor[1]).decode()] = array.reshape(shape)
    return found


def test_outputs_and_versions_are_chosen(running: Running) -> None:
    only = answered(call(running, INFER, request(more=field(6, texts(1, "probability")))))
    assert {*only} == {"", "probability"}
    assert answered(call(running, INFER, request(more=texts(2, "1"))))[""] == ["iris", "1"]
    assert refused(running, INFER, request(more=texts(2, "2"))).code() == Code.NOT_FOUND
    assert refused(running, INFER, request(more=field(6, texts(1, "none")))).code() == Code.INVALID_ARGUMENT


NAMES = ["", "\n", "a\nb", "iris\n", "/", "../iris", "a\0b", "é", "?version=1", "versions/1"]


@pytest.mark.parametrize("method", ["ModelReady", "ModelMetadata", INFER])
def test_a_name_that_cannot_be_one_is_not_found(running: Running, method: str) -> None:
    for name in NAMES:
        data = request(name=name) if method == INFER else texts(1, name)
        assert refused(running, method, data).code() == Code.NOT_FOUND, name


def test_health_metadata_and_the_list(running: Running) -> None:
    assert call(running, "ServerLive") == call(running, "ServerReady") == b"\x08\x01"
    assert call(running, "ModelReady", texts(1, "iris")) == b"\x08\x01"
    assert call(running, "ModelReady", texts(1, "iris") + texts(2, "1")) == b"\x08\x01"
    assert refused(running, "ModelReady", texts(1, "iris") + texts(2, "9")).code() == Code.NOT_FOUND
    assert refused(running, "ModelReady").code() == Code.NOT_FOUND
    assert b"binary_tensor_data" in call(running, "ServerMetadata")
    assert b"probability" in call(running, "ModelMetadata", texts(1, "iris"))
    assert b"READY" in call(running, "RepositoryIndex")
    assert refused(running, "ModelMetadata", texts(1, "rose")).code() == Code.NOT_FOUND
    assert refused(running, "Nothing").code() == Code.UNIMPLEMENTED


def test_what_does_not_fit_is_said_as_over_http(running: Running) -> None:
    found = refused(running, INFER, request(shape=(4, 2)))
    assert found.code() == Code.INVALID_ARGUMENT
    assert "wanted the shape (any, 4)" in found.details()


BAD = {
    "no message": b"\xff\xff", "cut": request()[:-3], "of no kind": b"\x0f", "empty": b"",
    "no inputs": texts(1, "iris"), "a number as a name": b"\x08\x01" + request(),
    "no text": field(1, b"\xff\xfe") + request(), "too few bytes": request(data=b"abc"),
    "other datatype": request(kind="FP32"), "unknown datatype": request(kind="FP128"),
    "negative size": request(shape=(-2, 4)), "huge size": request(shape=(1 << 62, 1 << 62)),
    "many axes": request(shape=(1,) * 100), "no shape": request(shape=()),
    "raw and typed": request(raw=False) + field(7, b"\0" * 64), "two raws": request() + field(7, b""),
    "typed of FP16": request(raw=False, kind="FP16"), "typed of another": request(raw=False, kind="INT64"),
    "the same input twice": request() + request(), "a huge axis": request(shape=(2, 1 << 40)),
    "an id that is a number": b"\x18\x05" + request(), "other input": request(input="other"),
    "an output that is a number": b"\x30\x05" + request(), "rows": request(shape=(1 << 20, 4)),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD)
def test_a_malformed_call_is_refused(running: Running, what: str) -> None:
    code = refused(running, INFER, BAD[what]).code()
    assert code in (Code.INVALID_ARGUMENT, Code.NOT_FOUND, Code.RESOURCE_EXHAUSTED), what
    assert answered(call(running, INFER, request()))[""] == ["iris", "1"]


def test_any_cut_and_any_changed_byte_is_answered_or_refused() -> None:
    whole = request(raw=False) + request(input="b")
    for at in range(len(whole)):
        for data in (whole[:at], whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :]):
            for read in (read_infer, read_named):
                try:
                    read(data)
                except Refusal:
                    pass


def test_numbers_one_by_one_are_read_up_to_a_limit() -> None:
    def unpacked(count: int) -> bytes:
        contents = b"\x18\x07" * count
        return field(5, texts(1, "x") + texts(2, "INT64") + shape_field(count) + field(5, contents))

    found = read_infer(unpacked(5))
    assert read_inputs(found.head, found.binary, 10)["x"].tolist() == [7] * 5
    with pytest.raises(Refusal, match="pack"):
        read_infer(unpacked(10_001))


@pytest.mark.parametrize(
    "many",
    [field(5, b""), field(6, b""), field(7, b""), texts(1, ""), b"\x50\x01", field(5, field(5, b"") * 20001)],
    ids=["inputs", "outputs", "raws", "names", "unknown", "contents"],
)
def test_a_message_has_a_bounded_number_of_fields(many: bytes) -> None:
    """Each takes memory beyond its bytes, however small it is."""
    with pytest.raises(Refusal, match="20000 fields"):
        read_infer(many * 20_001)


ALL = [np.array([[0, 1], [1, 1]]).astype(dtype) for dtype in DATATYPES.values()]
EDGES = [
    np.array([np.iinfo(dtype).min, np.iinfo(dtype).max, 0, 127], dtype)
    for dtype in DATATYPES.values()
    if np.dtype(dtype).kind in "iu"
]
TEXTS = np.array([["a", ""], ["ü\0", "b" * 300]], object)


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("array", [*ALL, *EDGES, TEXTS], ids=lambda array: str(array.dtype))
def test_every_datatype_goes_out_and_comes_in_again(array: np.ndarray[Any, Any], raw: bool) -> None:
    """What goes out is read by the implementation of Google, and as a request by the server's own."""
    body, length = write_outputs({"model_name": "m", "model_version": "1"}, {"x": array}, {"x": True})
    data = write_infer(msgspec.json.decode(body[:length]), body[length:], raw)
    answer = of_google()("inference.ModelInferResponse").FromString(data)
    (output,) = answer.outputs
    assert (answer.model_name, output.name, list(output.shape)) == ("m", "x", list(array.shape))
    contents = [list(value) for _, value in output.contents.ListFields()]
    if raw or output.datatype == "FP16":
        assert (len(answer.raw_output_contents), contents) == (1, [])
    elif array.size and array.any():
        plain = [each.encode() for each in array.ravel()] if array.dtype == object else array.ravel().tolist()
        assert contents == [plain]
    asked = of_google()("inference.ModelInferRequest")(
        model_name="m", raw_input_contents=answer.raw_output_contents
    )
    asked.inputs.add().ParseFromString(output.SerializeToString())
    found = read_infer(asked.SerializeToString())
    read = read_inputs(found.head, found.binary, 10)["x"]
    assert read.dtype == array.dtype
    assert np.array_equal(read, array)


@pytest.mark.parametrize("kind", [kind for kind in CONTENTS if kind[0] in "IU" or kind == "BOOL"])
def test_a_number_that_the_datatype_lacks_is_refused(kind: str) -> None:
    bits = 1 if kind == "BOOL" else np.dtype(DATATYPES[kind]).itemsize * 8
    signed = kind.startswith("INT")
    highest = (1 << (bits - signed)) - 1
    for number, good in ((highest, True), (highest + 1, bits == 64), (1 << 63, bits == 64)):
        contents = field(CONTENTS[kind], encoded(number % (1 << 64)))
        data = field(5, texts(1, "x") + texts(2, kind) + shape_field(1) + field(5, contents))
        if good:
            read_infer(data)
        else:
            with pytest.raises(Refusal, match="too large"):
                read_infer(data)


def of_google() -> Any:
    """The messages of the protocol as Google's implementation reads and writes them, by name."""
    descriptor_pb2 = pytest.importorskip("google.protobuf.descriptor_pb2")
    from google.protobuf import descriptor_pool, message_factory

    tensor = "string name=1; string datatype=2; int64* shape=3; .inference.Contents contents=5"
    protocol = {
        "Contents": "bool* a=1; int32* b=2; int64* c=3; uint32* d=4; uint64* e=5; float* f=6; double* g=7;"
        "bytes* h=8",
        "Tensor": tensor,
        "ModelInferRequest": "string model_name=1; string model_version=2; string id=3;"
        ".inference.Tensor* inputs=5; bytes* raw_input_contents=7",
        "ModelInferResponse": "string model_name=1; string model_version=2; string id=3;"
        ".inference.Tensor* outputs=5; bytes* raw_output_contents=6",
    }
    file = descriptor_pb2.FileDescriptorProto(name="inference.proto", package="inference", syntax="proto3")
    for name, text in protocol.items():
        message = file.message_type.add(name=name)
        for line in text.split(";"):
            kind, named = line.split()
            own, _, number = named.partition("=")
            label = 3 if kind.endswith("*") else 1
            kind = kind.rstrip("*")
            one = message.field.add(name=own, number=int(number), label=label)
            if kind.startswith("."):
                one.type, one.type_name = 11, kind
            else:
                one.type = getattr(one, f"TYPE_{kind.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return lambda name: message_factory.GetMessageClass(pool.FindMessageTypeByName(name))


# Who may, and limits


def bearer(text: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {text}"),)


def test_tokens(ready_store: saver.Saver, serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    ann, _ = add_token(path, "ann", ["predict:iris"])
    bob, _ = add_token(path, "bob", ["predict:rose"])
    running = serve(ready_store, grpc_port=0, tokens=str(path))
    assert answered(call(running, INFER, request(), metadata=bearer(ann)))[""] == ["iris", "1"]
    assert refused(running, INFER, request(), metadata=bearer(bob)).code() == Code.PERMISSION_DENIED
    assert refused(running, "ServerMetadata", metadata=bearer(ann)).code() == Code.PERMISSION_DENIED
    for strange in ((), bearer("saver_x"), bearer(ann[:-1] + "x")):
        assert refused(running, INFER, request(), metadata=strange).code() == Code.UNAUTHENTICATED
    for _ in range(12):
        last = refused(running, INFER, request(), metadata=bearer("guess"))
    assert last.code() == Code.RESOURCE_EXHAUSTED
    assert dict(last.trailing_metadata())["retry-after"]


def test_a_stranger_is_refused_before_its_message_is_there(
    ready_store: saver.Saver, serve: Serve, tmp_path: Path
) -> None:
    path = tmp_path / "tokens.json"
    add_token(path, "ann", ["predict:iris"])
    running = serve(ready_store, grpc_port=0, tokens=str(path))
    assert ends(running, silent=True) == Code.UNAUTHENTICATED


def test_a_message_that_does_not_come_ends_its_call(running: Running) -> None:
    assert ends(running, silent=True) == Code.CANCELLED
    assert ends(running) == Code.INVALID_ARGUMENT
    until(lambda: 'reason="slow-body"' in running.ask("/metrics").data.decode())


def ends(running: Running, *messages: bytes, silent: bool = False) -> Any:
    """How a call ends that sends these messages, and then says that it is over, or nothing more."""
    over = threading.Event()

    def sent() -> Iterator[bytes]:
        yield from messages
        if silent:
            over.wait(30)

    with channel(running) as line:
        act = line.stream_unary("/inference.GRPCInferenceService/ModelInfer")
        with pytest.raises(grpc.RpcError) as caught:
            act(sent(), timeout=30)
        over.set()
        return caught.value.code()


@pytest.mark.parametrize("compression", [None, grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_a_message_that_is_too_large_is_refused_compressed_or_not(running: Running, compression: Any) -> None:
    data = request(data=bytes(50_000_000))
    found = refused(running, INFER, data, compression=compression)
    assert found.code() == Code.RESOURCE_EXHAUSTED
    assert "max" in found.details(), "by gRPC itself, which does not keep it"
    small = call(running, INFER, request(), compression=compression)
    assert answered(small)[""] == ["iris", "1"]


def test_headers_that_are_too_large_are_refused(running: Running) -> None:
    assert refused(running, "ServerLive", metadata=(("x", "y" * 100_000),)).code() == Code.RESOURCE_EXHAUSTED


def test_a_client_that_waits_no_longer_frees_its_place(running: Running) -> None:
    for _ in range(20):
        with channel(running) as line:
            act = line.unary_unary("/inference.GRPCInferenceService/ModelInfer")
            with pytest.raises(grpc.RpcError):
                act(request(500), timeout=1e-4)
    until(lambda: running.server.house.requests == 0)
    assert answered(call(running, INFER, request()))[""] == ["iris", "1"]


def test_calls_beyond_what_memory_allows_are_refused_and_the_others_answered(running: Running) -> None:
    """Eight of a megabyte each are allowed at once."""
    codes: list[Any] = []
    threads = [threading.Thread(target=lambda: codes.append(ends(running, silent=True))) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert Code.CANCELLED in codes
    assert {*codes} <= {Code.CANCELLED, Code.RESOURCE_EXHAUSTED, Code.UNAVAILABLE}
    assert len({*codes}) > 1
    assert answered(call(running, INFER, request()))[""] == ["iris", "1"]


def test_tls(ready_store: saver.Saver, serve: Serve, tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("not installed: openssl")
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-keyout", str(key), "-out", str(certificate), "-days", "2", "-subj", "/CN=localhost", "-addext",
         "subjectAltName=DNS:localhost"],
        check=True, capture_output=True,
    )  # fmt: skip
    running = serve(ready_store, grpc_port=0, certificate=str(certificate), private_key=str(key))
    place = running.server.grpc_address.replace("127.0.0.1", "localhost")
    credentials = grpc.ssl_channel_credentials(certificate.read_bytes())
    with grpc.secure_channel(place, credentials) as line:
        live = line.unary_unary("/inference.GRPCInferenceService/ServerLive")
        assert live(b"", timeout=30) == b"\x08\x01"
    assert refused(running, "ServerLive").code() == Code.UNAVAILABLE


def test_a_port_that_is_taken_is_named(running: Running, ready_store: saver.Saver, serve: Serve) -> None:
    port = int(running.server.grpc_address.rpartition(":")[2])
    with pytest.raises(saver.errors.CannotReadError, match=f"{port}: gRPC cannot listen.*--grpc-port"):
        serve(ready_store, grpc_port=port)


# The clients of others

TRITON = """
import sys
import numpy as np
import tritonclient.grpc as triton
client = triton.InferenceServerClient(sys.argv[1])
assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("iris")
assert client.get_server_metadata().name == "saver"
assert [each.name for each in client.get_model_metadata("iris").inputs] == ["input"]
assert client.get_model_repository_index().models[0].name == "iris"
rows, expected = np.load(sys.argv[2]), np.load(sys.argv[3])
tensor = triton.InferInput("input", list(rows.shape), "FP64")
tensor.set_data_from_numpy(rows)
for outputs in ([triton.InferRequestedOutput("prediction")], None):
    for compressed in (None, "gzip", "deflate"):
        found = client.infer("iris", [tensor], outputs=outputs, request_id="x",
                             compression_algorithm=compressed)
        assert found.get_response().id == "x"
        assert (found.as_numpy("prediction") == expected).all()
try:
    tensor = triton.InferInput("input", [1, 3], "FP64")
    tensor.set_data_from_numpy(np.zeros((1, 3)))
    client.infer("iris", [tensor])
except triton.InferenceServerException as error:
    assert "shape" in str(error), error
    print("done")
"""

KSERVE = """
import asyncio, sys
import numpy as np
from kserve import InferInput, InferRequest
from kserve.inference_client import InferenceGRPCClient, InferenceRESTClient, RESTConfig
rows, expected = np.load(sys.argv[2]), np.load(sys.argv[3])

def asked(raw):
    tensor = InferInput("input", list(rows.shape), "FP64")
    tensor.set_data_from_numpy(rows, binary_data=raw)
    return InferRequest(model_name="iris", infer_inputs=[tensor], request_id="x")

async def main():
    client = InferenceGRPCClient(sys.argv[1])
    assert await client.is_server_live() and await client.is_server_ready()
    assert await client.is_model_ready("iris")
    http, base = InferenceRESTClient(RESTConfig(protocol="v2")), sys.argv[4]
    assert await http.is_server_live(base) and await http.is_server_ready(base)
    assert await http.is_model_ready(base, "iris")
    for raw in (False, True):
        for found in (await client.infer(asked(raw)), await http.infer(base, asked(raw), model_name="iris")):
            assert found.id == "x"
            (output,) = [each for each in found.outputs if each.name == "prediction"]
            assert (output.as_numpy() == expected).all()
    print("done")

asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("program", "package", "variable"),
    [(TRITON, "tritonclient.grpc", "SAVER_TRITON"), (KSERVE, "kserve", "SAVER_KSERVE")],
    ids=["triton", "kserve"],
)
def test_the_clients_of_others(
    running: Running, ready_store: saver.Saver, tmp_path: Path, program: str, package: str, variable: str
) -> None:
    environment = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
    candidates = [each for each in (os.environ.get(variable), sys.executable) if each]
    for python in candidates:
        look = subprocess.run([python, "-c", f"import {package}"], capture_output=True, env=environment)
        if look.returncode == 0:
            break
    else:
        pytest.skip(f"{package} is not installed, here or in the environment of ${variable}")
    np.save(tmp_path / "rows.npy", X[:5])
    np.save(tmp_path / "expected.npy", ready_store.predictor("iris@1").answer(X[:5])["prediction"])
    names = [str(tmp_path / name) for name in ("rows.npy", "expected.npy")]
    done = subprocess.run(
        [python, "-c", program, running.server.grpc_address, *names, running.server.address],
        capture_output=True, text=True, timeout=300, check=False, env=environment,
    )  # fmt: skip
    assert done.stdout == "done\n", done.stderr
