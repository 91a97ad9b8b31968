"""Ray Serve on a cluster of two nodes on this machine: clients ask all the time, while a tag moves, a replica
and a node are killed. Prints what they were answered."""

from __future__ import annotations

import http.client
import json
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import ray
from ray import serve
from ray.cluster_utils import Cluster

sys.path.insert(0, str(Path(__file__).parents[1] / "serve"))

from irises import X, filled
from visits import Running

import saver
from saver.integrations.ray import application
from saver.serve.settings import Settings

PATIENCE = 240
CLIENTS = 4
NODE = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": 100_000_000}
LIMITS = {"rows": 30, "body_bytes": 100_000, "depth": 8}
Found = tuple[int, Any, dict[str, str]]

ROWS = json.dumps({"rows": X[:3].tolist()})
TENSOR = {"name": "input", "shape": [2, 4], "datatype": "FP64", "data": X[:2].ravel().tolist()}
ASKED: list[tuple[str, str, str | None, dict[str, str]]] = [
    ("POST", "/predict/iris", ROWS, {}),
    ("POST", "/predict/iris?outputs=prediction", ROWS, {}),
    ("POST", "/predict/iris", "a,b\n1,2\n", {"content-type": "text/csv"}),
    ("POST", "/predict/iris", '{"rows": [[1, 2, "three", 4], [1, 2, 3]]}', {}),
    ("POST", "/predict/iris", '{"rows": [], "rows": []}', {}),
    ("POST", "/predict/iris", "[" * 50, {}),
    ("POST", "/predict/iris", json.dumps({"rows": X[:40].tolist()}), {}),
    ("POST", "/predict/iris", "x" * 200_000, {}),
    ("POST", "/predict/iris", "x", {"content-encoding": "br"}),
    ("POST", "/predict/iris", "x", {"content-type": "image/png"}),
    ("POST", "/predict/iris?version=7", ROWS, {}),
    ("POST", "/predict/other", ROWS, {}),
    ("GET", "/predict/iris", None, {}),
    ("POST", "/predict/iris", ROWS, {"host": "rebound.example"}),
    ("POST", "/v2/models/iris/infer", json.dumps({"inputs": [TENSOR]}), {}),
    ("POST", "/v2/models/iris/infer", json.dumps({"inputs": [TENSOR | {"shape": [3, 4]}]}), {}),
    ("GET", "/v2/models/iris", None, {}),
    ("GET", "/v2/health/ready", None, {}),
    ("HEAD", "/v2/health/ready", None, {}),
    ("GET", "/openapi.json", None, {}),
    ("GET", "/nothing", None, {}),
]  # fmt: skip
"""What is right, and what is refused: `saver serve` answers it, too."""


def ask(port: int, method: str, path: str, body: str | None = None, headers: Any = None) -> Found:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        data = answer.read()
    finally:
        connection.close()
    found = json.loads(data) if data else None
    kept = ["content-type", "allow", "retry-after", "content-length"]
    if isinstance(found, dict) and found.pop("request_id", None):  # that of Ray is longer
        kept.pop()
    return answer.status, found, {name: answer.headers[name] for name in kept if name in answer.headers}


class Asking:
    """Clients that ask until the end, and compare each answer with what the version says in this process."""

    def __init__(self, store: saver.Saver, port: int) -> None:
        self.seen: Counter[str] = Counter()
        self._right = {number: self._answers(store, number) for number in (1, 2)}
        self._port, self._ended = port, threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(each,)) for each in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def _answers(self, store: saver.Saver, number: int) -> Any:
        predictor = store.predictor(f"iris@{number}")
        return predictor.predict(predictor.schema.from_rows(X.tolist()))["probability"]

    def _ask(self, client: int) -> None:
        at = client
        while not self._ended.is_set():
            at = (at + 7) % (len(X) - 3)
            body = json.dumps({"rows": X[at : at + 3].tolist()})
            try:
                status, found, _ = ask(self._port, "POST", "/predict/iris", body)
            except (OSError, http.client.HTTPException) as error:
                self.seen[type(error).__name__] += 1
                continue
            self.seen[f"{status}"] += 1
            if status == 200:
                right = self._right[found["version"]][at : at + 3]
                came = [row["probability"] for row in found["predictions"]]
                same = np.allclose(came, right, rtol=0, atol=1e-9)
                self.seen[f"version {found['version']}" if same else "wrong"] += 1

    def until(self, name: str, more: int = 20) -> None:
        """Wait for so many answers more of this kind."""
        before = self.seen[name]
        wait(lambda: self.seen[name] >= before + more, name)

    def end(self) -> dict[str, int]:
        self._ended.set()
        for thread in self._threads:
            thread.join(PATIENCE)
        return dict(self.seen)


def wait(true: Callable[[], Any], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end, f"waited in vain: {what}"
        time.sleep(0.05)


def replicas(node: str | None = None) -> list[str]:
    """The names of the actors that answer, all or those on one node."""
    from ray._private.state import actors

    return [
        each["Name"]
        for each in actors().values()
        if "#replicas#" in each["Name"] and each["State"] == "ALIVE"
        and node in (None, each["Address"]["NodeID"])
    ]  # fmt: skip


def ready(gone: str = "") -> bool:
    """Whether two replicas answer, and the one that was killed is not among them."""
    states = serve.status().applications["iris"].deployments["replicas"].replica_states
    alive = replicas()  # the states may still count the one that was killed, and not yet the one that starts
    return states == {"RUNNING": 2} and len(alive) == 2 and gone not in alive


def versions(port: int) -> set[int]:
    """The versions that the next answers are of."""
    return {ask(port, "POST", "/predict/iris", ROWS)[1]["version"] for _ in range(20)}


def served(folder: Path, cluster: Cluster, port: int) -> dict[str, Any]:
    store = filled(folder / "store")
    other = cluster.add_node(**NODE)
    eager = {"min_replicas": 1, "max_replicas": 2, "target_ongoing_requests": 1, "upscale_delay_s": 0.1}
    serve.start(proxy_location="HeadOnly", http_options={"port": port})
    found: dict[str, Any] = {}
    began = time.monotonic()
    made = application(
        store,
        "iris@production",
        replicas=(1, 2),
        poll=0.2,
        limits=LIMITS,
        options={"autoscaling_config": eager},
    )
    serve.run(made, name="iris", route_prefix="/")
    found["start"] = time.monotonic() - began
    found["answers"] = [ask(port, *each) for each in ASKED]
    found["orders"] = [
        ask(port, "POST", "/admin/models/iris/change", '{"version": 2}')[0],
        ask(port, "GET", "/metrics")[0],
    ]
    asking = Asking(store, port)
    wait(ready, "a second replica, for so many requests")
    asking.until("version 1")
    store.tag("iris@2", "production")
    asking.until("version 2")
    wait(lambda: versions(port) == {2}, "all replicas have changed")
    store.save("iris", {"model": np.zeros(3)})
    store.tag("iris@4", "production")  # which has no example, and is refused, also when a replica starts
    (here,) = replicas(ray.get_runtime_context().get_node_id())
    ray.kill(ray.get_actor(here, namespace="serve"))
    asking.until("version 2")
    wait(lambda: ready(here), "a replica in the place of that one")
    (there,) = replicas(other.node_id)
    cluster.add_node(**NODE)
    cluster.remove_node(other, allow_graceful=False)
    asking.until("version 2")
    wait(lambda: ready(there), "a replica on the new node")
    asking.until("version 2")
    for each in replicas():  # then nobody is left who knows which version answered
        ray.kill(ray.get_actor(each, namespace="serve"))
    asking.until("version 2")
    found["seen"] = asking.end()
    found["models"] = ask(port, "GET", "/models")[1]
    return found


def beside(folder: Path) -> list[Found]:
    """What `saver serve` answers."""
    from saver.serve.limits import Limits

    limits = Limits(**LIMITS)
    address = str(folder / "store")
    one = Running(Settings(store=address, names={"iris": "iris@1"}, port=0, limits=limits))
    try:
        return [ask(one.port, *each) for each in ASKED]
    finally:
        one.stop()


def main(folder: Path, port: int) -> dict[str, Any]:
    cluster = Cluster(initialize_head=True, head_node_args=NODE)
    ray.init(address=cluster.address, log_to_driver="RAY_SERVING_LOG" in os.environ)
    try:
        found = served(folder, cluster, port)
    finally:
        serve.shutdown()
        ray.shutdown()
        cluster.shutdown()
    return found | {"beside": beside(folder)}


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), int(sys.argv[2]))))
