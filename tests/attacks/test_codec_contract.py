"""Saver's own families under the tests that it ships for those of others."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
import pytest
from samples import SAMPLES

from saver.testing import CodecTests

pytestmark = pytest.mark.filterwarnings("ignore")  # changed numbers make NumPy and others warn


def seeded(name: str) -> Any:
    """A sample, the same each time."""
    np.random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)
    return SAMPLES[name]()


def within(*names: str) -> Mapping[str, Callable[[], Any]]:
    """Each piece of these samples on its own."""

    def made(name: str, key: str) -> Callable[[], Any]:
        return lambda: seeded(name)[key]

    found: dict[str, Callable[[], Any]] = {}
    for name in names:
        try:
            whole = seeded(name)
        except pytest.skip.Exception:  # its package is not installed
            continue
        keys = whole if isinstance(whole, dict) else ()
        found |= {f"{name} {key}": made(name, key) for key in keys}
    return found


class TestPython(CodecTests):
    family = "python"
    samples: ClassVar = within("builtins", "stdlib")


class TestNumPy(CodecTests):
    family = "numpy"
    samples: ClassVar = within("numpy")


class TestSciPy(CodecTests):
    family = "scipy"
    samples: ClassVar = within("scipy")


class TestPandas(CodecTests):
    family = "pandas"
    samples: ClassVar = within("pandas")


class TestScikitLearn(CodecTests):
    family = "sklearn"
    samples: ClassVar = within("sklearn", "sklearn trees")


class TestPyTorch(CodecTests):
    family = "torch"
    samples: ClassVar = within("torch")


class TestSaver(CodecTests):
    family = "saver"
    samples: ClassVar = within("saver")
