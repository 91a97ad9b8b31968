"""What must hold of encoders, beside what holds of every estimator."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from saver.codec import shown


def check_hash(obj: Any) -> None:
    """Raise ValueError unless the encoder, which looks its hash up in `hashlib`, finds one there."""
    method = vars(obj).get("hash_method")
    if type(method) is not str or method not in hashlib.algorithms_available:
        raise ValueError(
            f"hash_method is {shown(method)}, not one of {', '.join(sorted(hashlib.algorithms_guaranteed))}"
        )


CHECKS: dict[str, Callable[[Any], None]] = {"category_encoders.hashing:HashingEncoder": check_hash}
