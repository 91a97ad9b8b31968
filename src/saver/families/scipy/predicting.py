"""Sparse matrices as what goes into a model and comes out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy.sparse as sparse
from numpy.typing import NDArray

from saver.errors import CannotSaveError
from saver.predicting.contract import Column, Predicting, Taken
from saver.schema import Schema

DENSE = 1 << 27
"""Values of an example that are looked at as a dense array: a gigabyte of doubles."""


class _SciPy(Predicting):
    def taken(self, example: Any) -> Taken | None:
        if not sparse.issparse(example) or example.ndim != 2:
            return None
        if example.shape[0] * example.shape[1] > DENSE:
            raise CannotSaveError(
                "example: as a dense array it would have over 2**27 values; pass fewer rows"
            )
        by_row = example.tocsr()
        kind = "array" if isinstance(example, sparse.sparray) else "matrix"
        column = Column(by_row.toarray(), example.dtype.name, f"csr_{kind}")
        return Taken("array", {"input": column}, example.shape[0], lambda rows: by_row[rows])

    def made(self, schema: Schema, arrays: Mapping[str, NDArray[Any]]) -> Any:
        kind = sparse.csr_array if schema.inputs[0].native == "csr_array" else sparse.csr_matrix
        return kind(next(iter(arrays.values())))

    def array(self, value: Any) -> NDArray[Any] | None:
        return np.asarray(value.toarray()) if sparse.issparse(value) else None


PREDICTING = _SciPy()
