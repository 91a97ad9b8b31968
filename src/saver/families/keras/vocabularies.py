"""The words of StringLookup, IntegerLookup and TextVectorization, exactly.

Keras' own `vocabulary.txt` loses words with line breaks.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def _is_lookup(layer: Any) -> bool:
    return any(
        base.__module__ == "keras.src.layers.preprocessing.index_lookup" for base in type(layer).__mro__
    )


def of(layer: Any) -> list[Any] | None:
    """The words of a lookup, with its special ones; None for another layer, or one that has none."""
    if not _is_lookup(layer):
        return None
    if not int(layer.lookup_table.size()):
        return None
    words = [word.item() if isinstance(word, np.generic) else word for word in layer.get_vocabulary()]
    if layer.vocabulary_dtype == "string":  # of which Keras cuts off a NUL at the end
        keys, values = layer.lookup_table.export()
        found, places = (values, keys) if layer.invert else (keys, values)
        for place, word in zip(places.numpy(), found.numpy(), strict=True):
            words[int(place)] = word.decode()
    return words


def put(layer: Any, words: Any) -> None:
    """Let a lookup have these words. Raises ValueError if it does not take them."""
    text = _is_lookup(layer) and layer.vocabulary_dtype == "string"
    if _is_lookup(layer) and not text and type(words) is list:
        words = [int(word) if type(word) is str else word for word in words]  # a text of Keras' own files
    if (
        not _is_lookup(layer)
        or type(words) is not list
        or any(type(w) is not (str if text else int) for w in words)
    ):
        raise ValueError("a vocabulary does not fit its layer")
    array = np.array(words, dtype=object if text else np.int64)  # an array of text would cut off a last NUL
    if layer.output_mode == "tf_idf":
        layer.set_vocabulary(array, idf_weights=layer.idf_weights_const.numpy())
    else:
        layer.set_vocabulary(array)
