"""Whether saved elements fit a variable or tensor that is here, and how they get there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from saver.codec import Decoder
from saver.families.tensorflow.tensors import form_of, made, saved_form
from saver.restoring import Conversion, Mismatch, Saved
from saver.tree import Node

Change = Callable[[], None]
Ready = Callable[[Decoder], Change]


def fit(node: Node, live: Any, path: str, exact: bool, saved: Saved) -> Mismatch | Conversion | None:
    """Why the saved elements cannot be those of `live`, or how they are converted; None if neither."""
    (dtype, shape), (here, there) = saved_form(node.state, saved), form_of(live)
    if len(shape) != len(there) or any(b is not None and a != b for a, b in zip(shape, there, strict=True)):
        return Mismatch(path, shape, tuple(-1 if size is None else size for size in there))
    if dtype == here:
        return None
    if exact or not _converts(dtype, here):
        return Mismatch(path, shape, shape, f"saved as {dtype}, here {here}")
    return Conversion(path, dtype, here)


def _converts(dtype: str, here: str) -> bool:
    """Whether elements may be cast: from numbers to numbers of the same kind."""
    one, other = tf.as_dtype(dtype), tf.as_dtype(here)
    return any(one.__getattribute__(a) and other.__getattribute__(a) for a in _KINDS)


_KINDS = ("is_floating", "is_integer", "is_complex")


def setting(node: Node, live: Any) -> Ready:
    """What gives a variable the saved elements."""

    def ready(decoder: Decoder) -> Change:
        value = made(node.state, decoder)
        found = value if value.dtype == live.dtype else tf.cast(value, live.dtype)
        return lambda: assign(live, found)

    return ready


def assign(variable: Any, value: Any) -> None:
    with tf.init_scope():
        variable.assign(value)
