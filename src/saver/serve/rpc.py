"""The Open Inference Protocol, version 2, over gRPC. Every call becomes a request of HTTP to the same
application: who may, limits, checks, metrics and the log are those of HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor, TimeoutError
from pathlib import Path
from typing import Any, NoReturn

import grpc
import msgspec

from saver.errors import CannotReadError
from saver.serve import messages
from saver.serve.door import House
from saver.serve.inference import HEADER
from saver.serve.refusals import Refusal
from saver.serve.settings import Settings
from saver.serve.within import Application, Reply, asked, scope_of

SERVICE = "inference.GRPCInferenceService"
MESSAGE = 4 * 1024 * 1024
"""Bytes of one message, as gRPC has it by default; fewer if a body may be smaller. How many there are is only
known when all of them are there: so the server takes as many calls at once as fit among all bodies."""
FAREWELL = 5.0
FOREVER = 86_400.0
"""Seconds, for a client that names no time; the limits of the server end its call."""
CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT, 401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED, 404: grpc.StatusCode.NOT_FOUND,
    408: grpc.StatusCode.DEADLINE_EXCEEDED, 413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    422: grpc.StatusCode.INVALID_ARGUMENT, 429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    503: grpc.StatusCode.UNAVAILABLE,
}  # fmt: skip
"""What a status of HTTP is called here; any other is INTERNAL."""
OWN = ("host", "content-type", "content-length", "content-encoding", "origin", HEADER)
"""Headers of HTTP that are not taken from the metadata of a call."""

Context = Any
"""grpc.ServicerContext: grpcio has no types."""
Act = Callable[[bytes, Context], bytes]


class Gateway:
    """Listens for gRPC beside the server of HTTP."""

    def __init__(self, application: Application, house: House) -> None:
        self._application, self._house = application, house
        self._loop = asyncio.get_running_loop()
        limits = house.limits
        self._message = min(MESSAGE, limits.body_bytes)
        slots = max(1, min(limits.requests, limits.bodies_bytes // self._message))
        self._threads = ThreadPoolExecutor(slots, thread_name_prefix="saver-grpc")
        self._server = grpc.server(
            self._threads, maximum_concurrent_rpcs=slots, handlers=(_Calls(self).handler(),),
            options=[
                ("grpc.max_receive_message_length", self._message), ("grpc.max_send_message_length", -1),
                ("grpc.max_metadata_size", limits.header_bytes), ("grpc.so_reuseport", 0),
                ("grpc.absolute_max_metadata_size", limits.header_bytes),
                ("grpc.max_concurrent_streams", slots), ("grpc.max_connection_idle_ms", 3_600_000),
            ],
        )  # fmt: skip
        self.address = ""

    def start(self, settings: Settings) -> None:
        """Listen. Raises CannotReadError if the address is taken."""
        host, port = settings.host, settings.grpc_port
        place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            if settings.certificate is None:
                found = self._server.add_insecure_port(place)
            else:
                found = self._server.add_secure_port(place, _credentials(settings))
        except RuntimeError as error:
            raise CannotReadError(
                f"{place}: gRPC cannot listen there: {error}; choose another --grpc-port"
            ) from error
        self._server.start()
        self.address = f"{place.rpartition(':')[0]}:{found}"

    async def stop(self) -> None:
        """End: calls that go on have a while."""
        stopped = self._server.stop(FAREWELL)
        await asyncio.to_thread(stopped.wait)
        self._threads.shutdown(wait=False)

    # For the handlers, each in a thread of its own

    def read(self, requests: Iterator[bytes], context: Context) -> bytes:
        """The message of a call, which must come in time and from somebody who may have a right."""
        given = dict(context.invocation_metadata())
        self._house.gate.recognise(given.get("authorization"), _peer(context))
        late = asyncio.run_coroutine_threadsafe(self._end_late(context), self._loop)
        try:
            return next(requests)
        except StopIteration:
            raise Refusal("bad-request", "the call ended before its message") from None
        finally:
            late.cancel()

    async def _end_late(self, context: Context) -> None:
        await asyncio.sleep(self._house.limits.body_seconds)
        self.seen(Refusal("slow-body", ""))
        context.cancel()

    def seen(self, refusal: Refusal) -> None:
        """Count a call that the application never saw."""
        self._house.metrics.count("saver_refusals_total", reason=refusal.reason, model="")

    def ask(self, context: Context, method: str, path: str, body: bytes = b"", **headers: str) -> Reply:
        """The answer of the application. Raises Refusal."""
        scope = _scope(context, method, path, {**headers, "content-length": str(len(body))})
        future = asyncio.run_coroutine_threadsafe(asked(self._application, scope, body), self._loop)
        context.add_callback(future.cancel)  # the client has gone, or waits no longer
        try:
            return future.result(min(context.time_remaining() or FOREVER, FOREVER))
        except (CancelledError, TimeoutError):
            future.cancel()
            raise Refusal("timeout", "the client waits no longer") from None


class _Calls:
    """The calls of the protocol."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def handler(self) -> Any:
        """What gRPC finds them by."""
        acts = {
            "ServerLive": self._live, "ServerReady": self._ready, "ModelReady": self._model_ready,
            "ServerMetadata": self._server, "ModelMetadata": self._metadata, "ModelInfer": self._infer,
            "RepositoryIndex": self._index,
        }  # fmt: skip
        # As if a client sent several messages: so the one that it sends is read when it is wanted.
        handlers = {
            name: grpc.stream_unary_rpc_method_handler(self._answering(act)) for name, act in acts.items()
        }
        return grpc.method_handlers_generic_handler(SERVICE, handlers)

    def _answering(
        self, act: Callable[[bytes, Context], bytes]
    ) -> Callable[[Iterator[bytes], Context], bytes]:
        def answer(requests: Iterator[bytes], context: Context) -> bytes:
            try:
                return act(self._gateway.read(requests, context), context)
            except Refusal as refusal:
                self._gateway.seen(refusal)
                _refuse(context, refusal.status, str(refusal), refusal.headers())

        return answer

    def _live(self, data: bytes, context: Context) -> bytes:
        return messages.flag(self._gateway.ask(context, "GET", "/v2/health/live")[0] == 200)

    def _ready(self, data: bytes, context: Context) -> bytes:
        return messages.flag(self._gateway.ask(context, "GET", "/v2/health/ready")[0] == 200)

    def _model_ready(self, data: bytes, context: Context) -> bytes:
        path = _path(*messages.read_named(data))
        _demand(context, self._gateway.ask(context, "GET", f"{path}/ready"))
        return messages.flag(True)

    def _server(self, data: bytes, context: Context) -> bytes:
        return messages.write_server(self._json(context, "GET", "/v2"))

    def _metadata(self, data: bytes, context: Context) -> bytes:
        return messages.write_metadata(self._json(context, "GET", _path(*messages.read_named(data))))

    def _index(self, data: bytes, context: Context) -> bytes:
        return messages.write_index(self._json(context, "POST", "/v2/repository/index"))

    def _infer(self, data: bytes, context: Context) -> bytes:
        asked = messages.read_infer(data)
        head = msgspec.json.encode(asked.head)
        body, path = head + asked.binary, f"{_path(asked.name, asked.version)}/infer"
        reply = self._gateway.ask(context, "POST", path, body, **{HEADER: str(len(head))})
        _demand(context, reply)
        length = int(reply[1].get(HEADER, len(reply[2])))
        found = msgspec.json.decode(reply[2][:length])
        return messages.write_infer(found, reply[2][length:], asked.raw)

    def _json(self, context: Context, method: str, path: str) -> Any:
        reply = self._gateway.ask(context, method, path)
        _demand(context, reply)
        return msgspec.json.decode(reply[2])


def _path(name: str, version: str) -> str:
    return f"/v2/models/{name}/versions/{version}" if version else f"/v2/models/{name}"


def _demand(context: Context, reply: Reply) -> None:
    """End the call unless it was answered."""
    status, headers, body = reply
    if status != 200:
        _refuse(context, status, str(msgspec.json.decode(body)["error"]), headers)


def _refuse(context: Context, status: int, text: str, headers: dict[str, str]) -> NoReturn:
    """End the call with this status: gRPC raises an exception of its own."""
    kept = tuple((name, headers[name]) for name in ("retry-after", "x-request-id") if name in headers)
    context.set_trailing_metadata(kept)
    context.abort(CODES.get(status, grpc.StatusCode.INTERNAL), text)
    raise AssertionError(status)


def _peer(context: Context) -> str:
    """The address of a client: `ipv4:10.0.0.1:40404`."""
    return str(context.peer()).partition(":")[2].rpartition(":")[0].strip("[]")


def _scope(context: Context, method: str, path: str, headers: dict[str, str]) -> dict[str, Any]:
    given = {name: value for name, value in context.invocation_metadata() if isinstance(value, str)}
    kept = {name: value for name, value in given.items() if name not in OWN}
    pairs = {**kept, **headers, "host": "localhost", "content-type": "application/octet-stream"}
    encoded = [(name.encode(), value.encode("latin-1", "replace")) for name, value in pairs.items()]
    return scope_of(method, path, b"", encoded, (_peer(context), 0))


def _credentials(settings: Settings) -> Any:
    assert settings.certificate is not None
    assert settings.private_key is not None
    pair = Path(settings.private_key).read_bytes(), Path(settings.certificate).read_bytes()
    authorities = Path(settings.authorities).read_bytes() if settings.authorities is not None else None
    return grpc.ssl_server_credentials([pair], authorities, authorities is not None)
