"""PyTorch tensors on an accelerator."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from saver.callers import warn
from saver.device import Copying, DeviceData

PIECE = 32 << 20
"""Bytes copied from an accelerator at a time, so that its tensors are never in host memory as a whole."""

_PORTABLE = 1
"""cudaHostRegisterPortable: locked for all devices."""


def on_device(items: Any) -> DeviceData | Callable[[], Iterator[NDArray[Any]]]:
    """The elements of a tensor that is not on the CPU."""
    return _OnCuda(items) if items.device.type == "cuda" else lambda: _in_pieces(items)


def _in_pieces(items: Any) -> Iterator[NDArray[Any]]:
    if not items.numel():
        return
    rows = items.reshape(-1) if items.is_contiguous() else items
    step = max(1, PIECE * len(rows) // (items.numel() * items.dtype.itemsize))
    for at in range(0, len(rows), step):
        yield rows[at : at + step].contiguous().cpu().numpy()


class _OnCuda(DeviceData):
    """Copies on a stream of its own, beside the one that computes (CUDA C++ Programming Guide, "Overlap of
    Data Transfer and Kernel Execution"; that needs page-locked memory).
    """

    def __init__(self, items: Any) -> None:
        self._items = items

    @property
    def address(self) -> int:
        return int(self._items.data_ptr())

    def __call__(self) -> Iterator[NDArray[Any]]:
        return _in_pieces(self._items)

    def begin(self, target: NDArray[np.uint8]) -> Copying:
        items = self._items
        host = torch.from_numpy(target).view(items.dtype).view(items.shape)
        stream = _stream(items.device)
        stream.wait_stream(torch.cuda.current_stream(items.device))
        with torch.cuda.stream(stream):
            host.copy_(items, non_blocking=True)
            items.record_stream(stream)  # its memory is not reused before it is copied
            return _OnStream(items.device, stream.record_event())

    def pin(self, memory: NDArray[np.uint8]) -> Callable[[], None]:
        runtime, device = torch.cuda.cudart(), self._items.device
        address = memory.ctypes.data
        failed = int(runtime.cudaHostRegister(address, memory.nbytes, _PORTABLE))
        if failed:
            with suppress(RuntimeError):  # CUDA reports the error once more, at the next call
                torch.zeros(1, device=device)
            warn(
                f"{memory.nbytes / 1e9:.2f} GB of memory for snapshots could not be page-locked (CUDA "
                f"error {failed}), so copying from {device} takes longer; free host memory",
            )

        def unpin() -> None:
            _stream(device).synchronize()
            if not failed:
                runtime.cudaHostUnregister(address)

        return unpin


class _OnStream(Copying):
    def __init__(self, device: Any, done: Any) -> None:
        self._device, self._done = device, done

    def hold(self) -> None:
        torch.cuda.current_stream(self._device).wait_event(self._done)

    def wait(self) -> None:
        self._done.synchronize()


_streams: dict[Any, Any] = {}


def _stream(device: Any) -> Any:
    """The stream that copies from this device. All runs share it, so their copies follow each other."""
    if device not in _streams:
        _streams[device] = torch.cuda.Stream(device)
    return _streams[device]
