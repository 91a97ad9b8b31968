"""Spans of the real OpenTelemetry: a request is a part of its client's trace, with what is known of it and
without its inputs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from irises import X

import saver

pytest.importorskip("opentelemetry.sdk")

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PROGRAM = """
import asyncio, http.client, json, sys, threading
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

kept = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(kept))
trace.set_tracer_provider(provider)

from saver.serve.server import Server
from saver.serve.settings import Settings

store, parent, rows = sys.argv[1:]
server = Server(Settings(store=store, names={"iris": "iris@production"}, port=0))

def ask():
    port = int(server.address.rpartition(":")[2])
    for body in (rows, '{"rows": 1}'):
        line = http.client.HTTPConnection("127.0.0.1", port)
        line.request("POST", "/predict/iris", body, {"traceparent": parent})
        line.getresponse().read()
        line.close()
    loop.call_soon_threadsafe(server.stop)

async def main():
    global loop
    loop = asyncio.get_running_loop()
    await server.run(lambda _: threading.Thread(target=ask).start())

asyncio.run(main())
print(json.dumps([json.loads(span.to_json()) for span in kept.get_finished_spans()]))
"""


@pytest.mark.slow
def test_a_request_is_a_span_of_its_clients_trace(ready_store: saver.Saver) -> None:
    """In a process of its own, as a provider of spans is set up once for a whole process."""
    parent, rows = f"00-{TRACE}-{PARENT}-01", json.dumps({"rows": X[:3].tolist()})
    command = (sys.executable, "-c", PROGRAM, str(ready_store.storage), parent, rows)
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent)
    assert done.returncode == 0, done.stderr
    good, bad = json.loads(done.stdout)
    for span, status in ((good, 200), (bad, 422)):
        assert span["name"] == "/predict/{name:path}"
        assert span["kind"] == "SpanKind.SERVER"
        assert span["context"]["trace_id"] == f"0x{TRACE}"
        assert span["parent_id"] == f"0x{PARENT}"
        assert span["attributes"]["http.response.status_code"] == status
    known = good["attributes"]
    assert (known["saver.model"], known["saver.version"], known["saver.rows"]) == ("iris", "1", 3)
    assert {f"saver.seconds.{stage}" for stage in ("read", "decode", "queue", "predict", "encode")} <= set(
        known
    )
    for value in X[:3].ravel().tolist():
        assert repr(value) not in done.stdout, "no input is in a span"
