"""What Saver said to a worker, written outside of the store, so that a judge can hold the store to it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np


class Workspace(NamedTuple):
    """The folder of a soak, with the store and everything else that belongs to it."""

    folder: Path
    store: Path
    sync: bool

    @property
    def journals(self) -> Path:
        return self.folder / "journals"

    @property
    def stop(self) -> Path:
        """Once this is there, workers end."""
        return self.folder / "stop"


class Journal:
    """A file of lines, each written at once: a process that is killed leaves none torn."""

    def __init__(self, workspace: Workspace, name: str) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self._file = os.open(workspace.journals / f"{name}.jsonl", flags, 0o600)

    def tell(self, *what: Any) -> None:
        line = (json.dumps(what) + "\n").encode()
        assert os.write(self._file, line) == len(line)


def lines(workspace: Workspace) -> Iterator[list[Any]]:
    """All that was said; to each worker in order."""
    for path in sorted(workspace.journals.glob("*.jsonl")):
        for line in path.read_text().splitlines():
            yield json.loads(line)


def value(seed: int) -> dict[str, Any]:
    """What is saved under a seed. Arrays of one kind are shared by many versions."""
    own = np.random.default_rng(seed)
    large = {"large": np.full(40_000, float(seed))} if seed % 8 == 0 else {}
    return {"seed": seed, "shared": np.arange(3000.0) + seed % 5, "own": own.normal(size=400), **large}


def same(found: Any, seed: int) -> bool:
    """Whether a value is that of a seed, to the bit."""
    wanted = value(seed)
    return list(found) == list(wanted) and all(
        type(found[name]) is type(what) and np.array_equal(found[name], what) for name, what in wanted.items()
    )


class Weights:
    """The weights of a run after each step: what every step before added to, so none may be left out."""

    def __init__(self) -> None:
        self._known = [np.zeros(20)]

    def after(self, step: int) -> Any:
        """Those after a step; -1 is before the first."""
        while len(self._known) < step + 2:
            self._known.append(trained(self._known[-1], len(self._known) - 1))
        return self._known[step + 1]


def trained(weights: Any, step: int) -> Any:
    """The weights after one more step."""
    return weights * 0.999 + np.random.default_rng(step).normal(size=20)
