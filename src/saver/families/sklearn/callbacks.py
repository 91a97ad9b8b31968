"""The callbacks of scikit-learn that an estimator keeps."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from saver.codec import Codec, Decoder, Encoder, added, private
from saver.tree import Node, Value


def _check(depth: Any) -> None:
    if depth is not None and (type(depth) is not int or depth < 0):
        raise ValueError(f"max_propagation_depth is {depth!r}, not a number of levels")


class ProgressBarCodec(Codec):
    """`ProgressBar`, by its only parameter. What it listens to during a fit stays in its process."""

    name = "sklearn.ProgressBar"
    names = frozenset(("sklearn.callback._progressbar:ProgressBar",))  # since 1.9

    def unsaved(self, obj: Any) -> Iterable[str]:
        return added(obj, "max_propagation_depth", *private(obj))

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        encoder.check(_check, obj.max_propagation_depth)
        return obj.max_propagation_depth  # type: ignore[no-any-return]

    def decode(self, node: Node, decoder: Decoder) -> Any:
        from sklearn.callback import ProgressBar

        _check(node.state)
        return ProgressBar(max_propagation_depth=node.state)


CODECS: tuple[Codec, ...] = (ProgressBarCodec(),)
