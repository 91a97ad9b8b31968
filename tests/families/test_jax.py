"""JAX arrays come back to the bit, and what would lose bits is refused."""

from __future__ import annotations

import numpy as np
import pytest

import saver
from saver.testing import CodecTests

jax = pytest.importorskip("jax")

DTYPES = ("bool", "uint8", "int8", "uint16", "int16", "float16", "bfloat16", "uint32", "int32", "float32")


class TestJax(CodecTests):
    family = "jax"
    samples = {  # noqa: RUF012
        name: lambda name=name: {"a": jax.numpy.arange(6).reshape(2, 3).astype(name)} for name in DTYPES
    }


@pytest.mark.parametrize("name", ["float64", "int64", "uint64"])
def test_64_bits_are_not_loaded_as_32(name, tmp_path):
    with jax.enable_x64(True):
        made = jax.numpy.asarray(np.arange(3, dtype=name))
        saver.dump({"a": made}, tmp_path / "a.saver")
        assert saver.load(tmp_path / "a.saver")["a"].dtype == name
    with pytest.raises(saver.IncompatibleError, match="jax_enable_x64"):
        saver.load(tmp_path / "a.saver")


def test_a_weak_type_is_refused_rather_than_lost(tmp_path):
    with pytest.raises(saver.CannotSaveError, match="weakly typed"):
        saver.dump({"a": jax.numpy.asarray(2.0)}, tmp_path / "a.saver")


@pytest.mark.parametrize("name", ["mine", "_mine"])
def test_an_attribute_that_is_set_is_refused_rather_than_lost(name, tmp_path):
    made = jax.numpy.arange(2)
    np.asarray(made), made.sum().block_until_ready()  # the library may keep what it answers
    saver.dump(made, tmp_path / "a.saver")
    setattr(made, name, 5)
    with pytest.raises(saver.CannotSaveError, match=f"'{name}' was set"):
        saver.dump(made, tmp_path / "a.saver")
