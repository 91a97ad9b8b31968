"""Saver and its peers, each with one way to save and its ways to load."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

import saver
from benchmarks.measure import make_durable
from benchmarks.states import State, as_torch


@dataclass(frozen=True, slots=True)
class Load:
    """A way to load. `lazy` ones return before the bytes are read; `like` is the saved state, for its names
    and shapes."""

    name: str
    load: Callable[[Path, State], State]
    lazy: bool = False


@dataclass(frozen=True, slots=True)
class Peer:
    """A tool. `save` returns when everything is on disk: file and folder are fsynced."""

    name: str
    framework: Literal["numpy", "torch"]
    save: Callable[[State, Path], None]
    loads: tuple[Load, ...]

    def state(self, arrays: State) -> State:
        """The state in the form that this tool accepts."""
        return as_torch(arrays) if self.framework == "torch" else arrays


BASELINE = "safetensors (torch)"
OURS = "Saver (NumPy)"


def durably(save: Callable[[State, Path], object]) -> Callable[[State, Path], None]:
    """The same, fsynced."""

    def save_and_sync(state: State, path: Path) -> None:
        save(state, path)
        make_durable(path)

    return save_and_sync


def peers() -> Iterator[Peer]:
    """All of them, Saver first."""
    yield _saver(OURS, "numpy")
    yield _saver("Saver (torch)", "torch")
    yield from _torch()
    yield from _safetensors()
    yield from _dcp()
    yield from _numpy()


def _saver(name: str, framework: Literal["numpy", "torch"]) -> Peer:
    return Peer(
        name,
        framework,
        lambda state, path: void(saver.dump(state, path)),
        (Load(name, lambda path, like: saver.load(path)),),
    )


def void(_: object) -> None:
    """Drop a result."""


def _torch() -> Iterator[Peer]:
    import torch

    yield Peer(
        "torch.save",
        "torch",
        durably(lambda state, path: torch.save(state, path)),
        (
            Load("torch.load", lambda path, like: torch.load(path, weights_only=True)),
            Load(
                "torch.load, mmap",
                lambda path, like: torch.load(path, weights_only=True, mmap=True),
                lazy=True,
            ),
        ),
    )


def _safetensors() -> Iterator[Peer]:
    import safetensors.numpy
    import safetensors.torch

    yield Peer(
        BASELINE,
        "torch",
        durably(lambda state, path: safetensors.torch.save_file(state, path)),
        (Load(BASELINE, lambda path, like: safetensors.torch.load_file(path), lazy=True),),
    )
    yield Peer(
        "safetensors (NumPy)",
        "numpy",
        durably(lambda state, path: safetensors.numpy.save_file(state, path)),
        (Load("safetensors (NumPy)", lambda path, like: safetensors.numpy.load_file(path)),),
    )


def _dcp() -> Iterator[Peer]:
    import torch
    from torch.distributed import checkpoint

    def save(threads: int) -> Callable[[State, Path], object]:
        def run(state: State, path: Path) -> object:
            writer = checkpoint.FileSystemWriter(path, thread_count=threads)
            with _alone():
                return checkpoint.save(state, storage_writer=writer, no_dist=True)

        return run

    def load(path: Path, like: State) -> State:
        state = {name: torch.empty_like(item) for name, item in like.items()}
        with _alone():
            checkpoint.load(state, storage_reader=checkpoint.FileSystemReader(path), no_dist=True)
        return state

    for threads in (1, 2):
        name = f"torch DCP, {threads} thread{'s' * (threads > 1)}"
        yield Peer(name, "torch", durably(save(threads)), (Load(name, load),))


@contextmanager
def _alone() -> Iterator[None]:
    """Silence DCP's warning that it runs in a single process, which is intended."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled", category=UserWarning)
        yield


def _numpy() -> Iterator[Peer]:
    import joblib

    yield Peer(
        "joblib",
        "numpy",
        durably(lambda state, path: joblib.dump(state, path)),
        (Load("joblib", lambda path, like: joblib.load(path)),),
    )
    yield Peer("np.savez", "numpy", durably(_savez), (Load("np.load", _load_npz),))
    yield Peer("h5py", "numpy", durably(_save_h5), (Load("h5py", _load_h5),))


def _savez(state: State, path: Path) -> None:
    with open(path, "wb") as file:
        np.savez(file, **state)


def _load_npz(path: Path, like: State) -> State:
    with np.load(path, allow_pickle=False) as archive:
        return dict(archive)


def _save_h5(state: State, path: Path) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        for name, array in state.items():
            file.create_dataset(name, data=array)


def _load_h5(path: Path, like: State) -> State:
    import h5py

    with h5py.File(path, "r") as file:
        return {name: file[name][()] for name in file}
