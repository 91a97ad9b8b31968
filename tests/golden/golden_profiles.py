"""What the golden files of layer 4 hold, each of the library of its name. Never change one: add others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


def torch() -> Any:
    import torch

    model = torch.nn.Linear(2, 3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.arange(parameter.numel(), dtype=torch.float32).reshape(parameter.shape))
    base = torch.arange(6.0)
    return {
        "model": model, "views": [base, base[2:]],
        "tensors": [base.reshape(2, 3).T.clone(memory_format=torch.preserve_format),
                    torch.tensor([1.5], dtype=torch.bfloat16), torch.tensor([1 + 2j]), torch.tensor(7)],
    }  # fmt: skip


def pandas() -> Any:
    import pandas

    frame = pandas.DataFrame({0: [1.5, 2.5], 1: [1, 2], 2: [True, False]})
    codes = pandas.Categorical.from_codes([0, 1, -1], pandas.Index([10, 20]))
    return {
        "frame": frame, "series": frame[1], "codes": codes, "masked": pandas.array([1, None], dtype="Int64"),
        "index": pandas.MultiIndex.from_arrays([np.array([1, 1]), np.array([2, 3])]),
    }  # fmt: skip


PROFILES: dict[str, Callable[[], Any]] = {"torch": torch, "pandas": pandas}
"""The file `<name>.1.saver` holds the value."""


def plain(value: Any) -> Any:
    """The same with the tensors of a module and its containers as lists, which can be compared."""
    if hasattr(value, "state_dict"):
        return [type(value).__name__, plain(dict(value.state_dict()))]
    if hasattr(value, "untyped_storage"):
        return [str(value.dtype), list(value.shape), list(value.stride()), value.detach().tolist()]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return list(map(plain, value)) if isinstance(value, list) else value
