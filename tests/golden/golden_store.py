"""What the golden store of format 1 holds. Never change it: add another store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import golden_values
import numpy as np

import saver
from saver.repo.gc import moving
from saver.repo.save import save_version
from saver.tensors import Box
from shards import cut_draft


def second() -> Any:
    return {**golden_values.python(), "scalars": [1, 2.5]}


def backbone() -> Any:
    return {
        "embedding": np.arange(4000.0),
        "layers": [np.arange(300, dtype=np.float32) + n for n in range(3)],
    }


def healed() -> Any:
    return {"weights": np.arange(2000, dtype=np.int64) ** 2}


def table(last: int) -> Any:
    """Saved in three shards, of which the versions share two: the first is one file, the second is not."""
    found = np.arange(200 * 150, dtype=np.float32).reshape(200, 150)
    found[-1, -1] += last
    return {"table": found}


def forest() -> Any:
    """A part whose tree is large enough for a document of its own, and others that are not."""
    words = {f"word {n}": (n, "a word") for n in range(3000)}
    return {"words": words, "scale": np.full(3, 2.0), "weights": np.arange(20_000.0)}


def small() -> Any:
    """One file."""
    return {"weights": np.arange(12.0).reshape(3, 4), "words": ["a", "b"]}


STORE: dict[str, Callable[[], Any]] = {
    "golden@1": golden_values.python,
    "golden@3": second,
    "golden@4": golden_values.numpy,
    "team/net@2": backbone,
    "harmed@1": healed,
    "harmed@2": healed,
    "one": golden_values.single,
    "cut@1": lambda: table(0),
    "cut@2": lambda: table(1),
    "forest@3": forest,
    "small": small,
    "labelled@1": small,
}


def make(folder: Path) -> None:
    """One record of every kind, and enough of them for a checkpoint."""
    store = saver.Saver(folder)
    store.save(
        "golden", STORE["golden@1"](), step=1, metrics={"loss": 0.5, "worst": float("nan")}, tags=["first"]
    )
    store.save("golden", {"gone": np.arange(5000)}, step=2)
    store.save(
        "golden", second(), step=3, notes="a second scalar", data={"x": np.arange(9)}, seeds={"split": 7}
    )
    store.save("golden", STORE["golden@4"](), tags=["numpy", "newest"])
    store.save("team/net", {**backbone(), "head": np.arange(20_000.0)})
    store.save("team/net", backbone())
    store.save("one", STORE["one"]())
    store.save("forest", {**forest(), "scale": np.zeros(3)})
    store.save("forest", {**forest(), "scale": np.ones(3)})
    store.save("forest", forest())
    store.save("small", small(), notes="one file")
    store.delete("golden@2")
    store.delete("team/net@1")
    moving.DEAD_BYTES = 10_000
    store.gc(grace=0)
    store.save("harmed", healed())
    (pack,) = store.version("harmed").packs
    path = folder / "packs" / f"{pack}.safetensors"
    path.chmod(0o644)
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)
    store.check()
    store.save("harmed", healed())
    boxes = [Box((0, 0), (200, 100)), Box((0, 100), (80, 50)), Box((80, 100), (120, 50))]
    for last in range(2):
        save_version(store._repo, cut_draft("cut", table(last), lambda name, array: boxes))
    for turn in range(60):
        store.tag(f"golden@{(1, 3)[turn % 2]}", "moving")
    store.untag("golden", "newest")
    annotate(store)


def annotate(store: saver.Saver) -> None:
    """Labels and notes of a version and of a model, some of them changed or removed."""
    store.save("labelled", small(), labels={"team": "golden", "stage": "new"}, notes="first", author="ann")
    store.label("labelled@1", {"stage": "old", "team": None, "Reviewed-by": "bob"})
    store.note("labelled@1", "first, and noted\nafterwards")
    store.label("labelled", {"owner": "ann", "gone": "soon"})
    store.label("labelled", {"gone": None})
    store.note("labelled", "a model with notes")
