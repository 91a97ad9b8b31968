"""What compression gains, and how fast it is: `python -m benchmarks.compression`.

Trained weights are those of a small network that is trained here, in both precisions, with the moments of
an embedding of which few rows were touched; forests are those of scikit-learn. Each is compressed in frames,
as a pack of a store is, in one thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

import saver
from saver.pack import Pack
from saver.seals import zstd
from saver.seals.frames import FRAME, Stored, unshuffle
from saver.storages.memory import MemoryBlob
from saver.tensors import ITEM_SIZE

SIZE = 32 << 20
"""Bytes of each kind at most."""

ROUNDS = 3


def trained() -> Mapping[str, Any]:
    """Weights, moments of a touched embedding, and ids, after some hundred steps."""
    import torch

    torch.manual_seed(0)
    words, wide = 20_000, 256
    net = torch.nn.Sequential(
        torch.nn.EmbeddingBag(words, wide), torch.nn.Linear(wide, 2048), torch.nn.ReLU(),
        torch.nn.Linear(2048, 2048), torch.nn.ReLU(), torch.nn.Linear(2048, 10),
    )  # fmt: skip
    optimizer = torch.optim.Adam(net.parameters())
    zipf = np.random.default_rng(0).zipf(1.3, (150, 64, 20)) % words
    for step in range(150):
        ids = torch.as_tensor(zipf[step])
        loss = torch.nn.functional.cross_entropy(net(ids), ids.sum(1) % 10)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    weights = torch.cat([each.detach().flatten() for each in net[1:].parameters()])
    moments = optimizer.state[net[0].weight]
    return {
        "trained fp32": weights.numpy(),
        "trained bf16": weights.bfloat16(),
        "moments of a touched embedding": torch.cat([moments["exp_avg"], moments["exp_avg_sq"]]).numpy(),
        "ids": np.sort(np.random.default_rng(1).zipf(1.3, (8000, 128)) % words).astype("i8"),
    }


def forests() -> Mapping[str, Any]:
    """A forest for classes, and one for numbers."""
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    random = np.random.default_rng(0)
    features = random.normal(size=(6000, 20))
    classes = (features[:, 0] + random.normal(size=6000) > 0).astype(int)
    return {
        "a forest of classes": RandomForestClassifier(60, random_state=0).fit(features, classes),
        "a forest of numbers": RandomForestRegressor(30, random_state=0).fit(features, features[:, 1] ** 2),
    }


def frames_of(obj: Any) -> list[tuple[memoryview, int]]:
    """The frames of the file that an object is saved as, each with the size of its items."""
    data = saver.dumps({"it": obj})
    pack = Pack(MemoryBlob("it", data))
    shard = max((info.shards[0] for info in pack.tensors.values()), key=lambda each: each.length)
    item, start = ITEM_SIZE[shard.dtype], len(data) - sum(each.length for each in pack.tensors.values())
    view = memoryview(data)[start : start + SIZE]
    return [(view[at : at + FRAME], item) for at in range(0, len(view), FRAME)]


def best(work: Callable[[], Any]) -> float:
    """Seconds of the processor in the fastest round."""
    times = []
    for _ in range(ROUNDS):
        begun = time.thread_time()
        work()
        times.append(time.thread_time() - begun)
    return min(times)


def measured(obj: Any) -> tuple[float, float, float, int]:
    """The share that is left, GB/s of one thread that compresses and that decompresses, and bytes."""
    frames = frames_of(obj)
    total = sum(len(data) for data, _ in frames)
    packed = [zstd.pack(data, item) for data, item in frames]
    packed = [(stored, bytes(data)) for stored, data in packed]

    def expand() -> None:
        for (data, _), (stored, frame) in zip(frames, packed, strict=True):
            _expand(stored, frame, room[: len(data)])

    room: NDArray[np.uint8] = np.empty(FRAME, np.uint8)
    compressing = best(lambda: [zstd.pack(data, item) for data, item in frames])
    return (
        sum(stored.length for stored, _ in packed) / total,
        total / compressing / 1e9,
        total / best(expand) / 1e9,
        total,
    )


def _expand(stored: Stored, frame: bytes, room: NDArray[np.uint8]) -> None:
    if not stored.packed:
        room[:] = np.frombuffer(frame, np.uint8)
        return
    unshuffle(memoryview(zstd.unpack(memoryview(frame), len(room), "it")), stored.item, room.data)


def main() -> None:
    print("| | of its size | compressing, GB/s a core | decompressing, GB/s a core | measured on |")
    print("| --- | --- | --- | --- | --- |")
    for name, obj in {**trained(), **forests()}.items():
        share, there, back, total = measured(obj)
        print(f"| {name} | {share:.2f} | {there:.2f} | {back:.2f} | {total / 1e6:.0f} MB |", flush=True)


if __name__ == "__main__":
    main()
