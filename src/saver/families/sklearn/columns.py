"""The columns that fall to the remainder of a `ColumnTransformer`, which scikit-learn 1.5 and 1.6 kept in a
list of their own: it warns those who read it."""

from __future__ import annotations

from typing import Any

import sklearn

from saver.codec import Codec, Decoder, Encoder
from saver.tree import Node, Value


def _columns() -> Any:
    """The class of the list; None from scikit-learn 1.9 on, and `sklearn.compose` is not imported in vain."""
    if tuple(map(int, sklearn.__version__.split(".")[:2])) >= (1, 9):
        return None
    from sklearn.compose import _column_transformer

    return getattr(_column_transformer, "_RemainderColsList", None)


_COLUMNS: Any = _columns()
_OPTIONS = ("future_dtype", "warning_was_emitted", "warning_enabled")


class RemainderCodec(Codec):
    """The columns, and of what the list warns. Other versions of scikit-learn get a plain list, as they make
    it themselves."""

    name = "sklearn.remainder"
    early = True
    types = () if _COLUMNS is None else (_COLUMNS,)

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        own = vars(obj)
        if own.keys() - {"data", *_OPTIONS}:
            encoder.refuse("a list of remaining columns with attributes of its own has no data form")
        columns = [encoder(column, "data", number) for number, column in enumerate(own["data"])]
        return [columns, *(encoder(own[name], name) for name in _OPTIONS)]

    def decode(self, node: Node, decoder: Decoder) -> Any:
        columns, dtype, emitted, enabled = node.state
        if dtype not in (None, "str", "bool") or type(emitted) is not bool or type(enabled) is not bool:
            raise ValueError("a list of remaining columns warns of something else")
        found: Any = [] if _COLUMNS is None else _COLUMNS([])
        decoder.keep(node, found)
        plain = found if _COLUMNS is None else found.data
        plain += map(decoder, columns)
        if _COLUMNS is not None:
            vars(found).update(zip(_OPTIONS, (dtype, emitted, enabled), strict=True))
        return found
