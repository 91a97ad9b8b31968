"""The facts about PyTorch in the record of the environment: the GPU, if one is in use, and the seed."""

from __future__ import annotations

from typing import Any

import torch


def hardware() -> dict[str, Any]:
    """The GPU and the version of CUDA or ROCm. Does not initialize a device that is not in use."""
    cuda = torch.cuda
    if not cuda.is_initialized():
        return {}
    try:
        found = {"gpu": str(cuda.get_device_name()), "gpus": cuda.device_count()}
    except RuntimeError:  # the device failed; saving what is in memory must still work
        return {}
    version: Any = torch.version
    return {"cuda": str(version.cuda or version.hip), **found}


def start() -> None:
    """Make PyTorch look for a GPU."""
    if torch.cuda.is_available():
        torch.cuda.init()


def generators() -> dict[str, str]:
    """The seed of the global generator."""
    return {"torch": f"seed {torch.initial_seed()}"}
