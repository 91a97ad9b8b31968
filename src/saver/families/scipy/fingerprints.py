"""Hashes of sparse arrays: of their nonzero values and the positions of those."""

from __future__ import annotations

from typing import Any

import numpy as np

from saver.fingerprint.arrays import absorb, blocks, dtype_name, new_hasher


def fingerprint(value: Any, where: str) -> dict[str, Any] | None:
    """The fingerprint of a sparse array; None for anything else."""
    if hasattr(value, "tocsr") and hasattr(value, "ndim"):
        return {"kind": "sparse", **_sparse(value)}
    return None


def _sparse(matrix: Any) -> dict[str, Any]:
    """The fingerprint of a sparse array in any format: its nonzero values and their positions, by rows."""
    rows = matrix.shape[0] if matrix.ndim > 1 else 1
    flat = matrix if matrix.ndim == 2 else matrix.reshape((rows, -1))
    compressed = flat.tocsr()
    if not compressed.has_canonical_format:
        compressed = compressed.copy()  # the next steps work in place, and this may be the caller's array
        compressed.sum_duplicates()
    if np.count_nonzero(compressed.data) < compressed.data.size:
        compressed = compressed.copy()
        compressed.eliminate_zeros()
    hasher = new_hasher(compressed.data.nbytes)
    for indices in (compressed.indptr, compressed.indices):
        for block in blocks(indices, 8):
            absorb(block.astype(np.int64), hasher)
    absorb(compressed.data, hasher)
    return {
        "dtype": dtype_name(compressed.dtype),
        "shape": list(matrix.shape),
        "values": int(compressed.data.size),
        "bytes": sum(array.nbytes for array in (compressed.indptr, compressed.indices, compressed.data)),
        "hash": hasher.hexdigest(),
    }
