"""Models in HDF5 files, as Keras 2 wrote them and `model.save("model.h5")` still does.

Their variables have no paths: they are in the order of the layers, and Keras alone knows whose they are.
"""

from __future__ import annotations

import re
from types import ModuleType
from typing import Any

from saver import registry
from saver.errors import IncompatibleError
from saver.formats._hdf5_apart import Source
from saver.formats.keras.reading import Model, Weights, document, opened, rate, readable, version_of
from saver.formats.pickle.contents import mapped_whole
from saver.opened import Opened
from saver.storage import Blob
from saver.tensors import Bytes, TensorData

CONFIG = "model_config"
_TRAINING, _WEIGHTS, _OPTIMIZER = "training_config", "model_weights", "optimizer_weights"
_STATE = "optimizer/vars/"
_TOP = "top_level_model_weights"
_HEAP = re.compile(rb"GCOL\x01\0\0\0(.{8})", re.DOTALL)
_DENSE = re.compile("/_(query|key|value|output)_dense/")
"""Layers in an attention, which Keras 2 kept in private attributes."""


def older() -> ModuleType:
    """What the family knows of older configurations."""
    found = registry.family("keras").module("older")
    assert found is not None
    return found


def open_model(blob: Blob) -> Opened:
    """The model of a file whose root has a configuration."""
    data = mapped_whole(blob)
    weights = Weights(data, blob.name, blob.size)
    arrays = weights.all()
    with readable(blob.name), weights.source() as source:
        texts = Texts(source, data)
        config = document(texts.text(CONFIG), blob.name, CONFIG)
        training, version = texts.text(_TRAINING) or b"null", texts.text("keras_version")
        ordered = ordered_arrays(texts, _WEIGHTS, arrays, blob.name)
        names = texts.texts(_OPTIMIZER, "weight_names")
    config, settings = as_now(config, document(training, blob.name, _TRAINING), blob.name)
    if settings is not None:
        config = {**config, "compile_config": settings}
    optimizer = _optimizer(
        names, [_array(arrays, f"{_OPTIMIZER}/{name}", blob.name) for name in names], settings
    )
    said = version_of(version.decode("utf-8", "replace"))
    found = Model(config, {}, {}, ordered, optimizer, older=older().is_older(said))
    return opened(found, blob, data, blob.size, said)


def as_now(config: Any, training: Any, where: str) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """An older configuration, and how the model was compiled, as Keras 3 writes them."""
    try:
        found = older().modern(config)
        if type(found) is not dict:
            raise ValueError("it does not describe a model")
        return found, older().settings(training)
    except RecursionError:
        raise IncompatibleError(f"{where}: its configuration is nested too deeply") from None
    except (ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
        raise IncompatibleError(f"{where}: its configuration is not understood: {error}") from None


def model_of(config: Any, arrays: dict[str, TensorData], words: dict[str, list[str]], where: str) -> Model:
    """A model that Keras 2.12 or later wrote as Keras 3 does, with variables by paths."""
    found, _ = as_now(config, None, where)
    settings = config.get("compile_config") if type(config) is dict else None
    if type(settings) is dict and settings.get("optimizer"):
        try:
            now = older().settings({**settings, "optimizer_config": settings["optimizer"]})
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise IncompatibleError(f"{where}: how it was compiled is not understood: {error}") from None
        found["compile_config"] = now
        own = {name: data for name, data in arrays.items() if name.startswith(_STATE)}
        listed = [own[f"{_STATE}{at}"] for at in range(len(own)) if f"{_STATE}{at}" in own]
        arrays = {name: data for name, data in arrays.items() if name not in own}
        listed = older().with_rate(listed, now["optimizer"], rate)
        arrays |= {f"{_STATE}{at}": data for at, data in enumerate(listed)}
    kept = {
        _DENSE.sub(r"/\1_dense/", name): data
        for name, data in arrays.items()
        if not name.startswith("metrics/")
    }
    return Model(found, kept, words, older=True)


def ordered_arrays(
    texts: Texts, group: str, arrays: dict[str, TensorData], where: str
) -> list[list[TensorData]]:
    """The arrays of each layer in order, those of the model itself last, in this group; "" is the root."""
    start = f"{group}/" if group else ""
    if not texts.has(group):
        raise IncompatibleError(f"{where}: the group {group!r} of the weights is missing")
    layers = texts.texts(group, "layer_names")
    return [
        [
            _array(arrays, f"{start}{layer}/{name}", where)
            for name in texts.texts(f"{start}{layer}", "weight_names")
        ]
        for layer in (*layers, _TOP)
    ]


def _array(arrays: dict[str, TensorData], path: str, where: str) -> TensorData:
    if path not in arrays:
        raise IncompatibleError(f"{where}: the variable {path[:80]!r} is missing")
    return arrays[path]


def _optimizer(
    names: list[str], found: list[TensorData], settings: dict[str, Any] | None
) -> tuple[TensorData, ...]:
    """The variables of the optimizer as Keras 3 has them, where those of an older one have that order; none
    otherwise: it begins anew."""
    first = [name.rpartition("/")[2].partition(":")[0] for name in names[:2]]
    if settings is None or first[:1] != ["iteration"]:
        return ()
    if first[1:] != ["learning_rate"]:
        found = older().with_rate(found, settings["optimizer"], rate)
    return tuple(found)


class Texts:
    """Texts in the attributes of an HDF5 file."""

    def __init__(self, source: Source, data: Bytes) -> None:
        self._source = source
        sizes = (int.from_bytes(found[1], "little") for found in _HEAP.finditer(data.data))
        self._longest = max((size for size in sizes if size <= data.size), default=0)

    def has(self, group: str) -> bool:
        """Whether there is such a group."""
        return self._source.attributes(group) is not None

    def text(self, name: str) -> bytes:
        """One text of the root; an empty one if it is not there."""
        there = name in (self._source.attributes("") or ())
        (found,) = (self._source.texts("", name, self._longest) if there else []) or [b""]
        return found

    def texts(self, group: str, name: str) -> list[str]:
        """A list of texts of a group, which may be in several attributes with numbers; none if there is no
        such group."""
        there = self._source.attributes(group) or []
        names = [name] if name in there else []
        while not (names and names[0] == name) and f"{name}{len(names)}" in there:
            names.append(f"{name}{len(names)}")
        found = [text for each in names for text in self._source.texts(group, each, self._longest)]
        return [text.decode("utf-8", "surrogateescape") for text in found]
