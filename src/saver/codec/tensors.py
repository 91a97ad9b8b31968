"""The tensors of one load, charged to its budget."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from saver.codec.budget import Budget
from saver.errors import IncompatibleError
from saver.rules import Broken
from saver.tensors import NUMPY_DTYPE, Box, Bytes, TensorInfo, TensorSource
from saver.tree import Tensor


class TensorReader:
    """Reads the tensors that trees refer to from a source."""

    def __init__(self, tensors: TensorSource, budget: Budget, where: str) -> None:
        self._tensors = tensors
        self._where = where
        self._handed: set[str] = set()
        self.foreign: bool = getattr(tensors, "foreign", False)
        self.budget = budget

    def info(self, ref: Any) -> TensorInfo:
        """What a `Tensor` is, without reading it."""
        if type(ref) is not Tensor:
            raise ValueError("a tensor is missing")
        try:
            return self._tensors.info(ref.name)
        except KeyError:
            raise self._missing(ref) from None

    def look(self, ref: Any, box: Box | None = None) -> Bytes:
        """The bytes of a `Tensor`, or of a box of it, flat, for code that copies them elsewhere."""
        if type(ref) is not Tensor:
            raise ValueError("a tensor is missing")
        try:
            found = self._tensors.read(ref.name, box, mapped=True)
        except KeyError:
            raise self._missing(ref) from None
        self.budget.charge(found.nbytes)
        if found.size and self._tensors.info(ref.name).dtype == "BOOL" and int(found.max()) > 1:
            raise Broken("1.23", f"the tensor {ref.name!r} has booleans that are neither 0 nor 1")
        return found

    def _missing(self, ref: Tensor) -> IncompatibleError:
        return IncompatibleError(f"{self._where}: the tensor {ref.name!r} is not in the pack", rule="2.11")

    def tensor(self, ref: Any) -> Bytes:
        """The same, for code that keeps them: no two objects share the bytes, unless a reference says they
        are one."""
        data = self.look(ref)
        if ref.name in self._handed:
            return data.copy()
        self._handed.add(ref.name)
        return data

    def array(
        self, ref: Any, dtype: str | None = None, ndim: int | None = None, rule: str = ""
    ) -> NDArray[Any]:
        """A `Tensor` as a NumPy array. Raises ValueError if its safetensors dtype or ndim differs, or
        it is another value: then `rule` is broken."""
        if rule and type(ref) is not Tensor:
            raise Broken(rule, "a tensor is missing")
        info = self.info(ref)
        if (dtype is not None and info.dtype != dtype) or (ndim is not None and len(info.shape) != ndim):
            wrong = f"{ref.name!r} is {info.dtype}{list(info.shape)}, not {dtype} with {ndim} axes"
            raise Broken(rule, wrong) if rule else ValueError(wrong)
        array: NDArray[Any] = self.tensor(ref).view(NUMPY_DTYPE[info.dtype]).reshape(info.shape)
        return array
