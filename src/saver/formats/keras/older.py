"""Models in HDF5 files, as Keras 2 wrote them and `model.save("model.h5")` still does.

Their variables have no paths: they are in the order of the layers, and Keras alone knows whose they are.
"""

from __future__ import annotations

import re
from types import ModuleType
from typing import Any

import numpy as np

from saver import registry
from saver.errors import IncompatibleError, LimitExceededError
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

_ROOM = 256 << 20
_NAMES = 1_000_000


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
    with readable(blob.name), weights.file() as file:
        texts = Texts(weights.h5py, data, blob.name)
        config = document(texts.text(file, CONFIG), blob.name, CONFIG)
        training = texts.text(file, _TRAINING) if _TRAINING in file.attrs else b"null"
        version = texts.text(file, "keras_version") if "keras_version" in file.attrs else b""
        ordered = ordered_arrays(texts, file, _WEIGHTS, arrays, blob.name)
        names = texts.texts(file[_OPTIMIZER], "weight_names") if _OPTIMIZER in file else []
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
    texts: Texts, file: Any, group: str, arrays: dict[str, TensorData], where: str
) -> list[list[TensorData]]:
    """The arrays of each layer in order, those of the model itself last, in this group; "" is the root."""
    root = file[group] if group else file
    start = f"{group}/" if group else ""
    layers = texts.texts(root, "layer_names")
    return [
        [
            _array(arrays, f"{start}{layer}/{name}", where)
            for name in (texts.texts(root[layer], "weight_names") if layer in root else [])
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
    """Texts in the attributes of an HDF5 file. Several of them may be the same bytes of the file, so that
    they take more memory than it has: how much is known before they are read."""

    def __init__(self, h5py: Any, data: Bytes, where: str) -> None:
        self._h5py, self._where = h5py, where
        sizes = (int.from_bytes(found[1], "little") for found in _HEAP.finditer(data.data))
        self._longest = max((size for size in sizes if size <= data.size), default=0)
        self._room = _ROOM + 4 * data.size

    def text(self, group: Any, name: str) -> bytes:
        """One text."""
        (found,) = self._read(group, name) or [b""]
        return found

    def texts(self, group: Any, name: str) -> list[str]:
        """A list of texts, which may be in several attributes with numbers."""
        names = [name] if name in group.attrs else []
        while not (names and names[0] == name) and f"{name}{len(names)}" in group.attrs:
            names.append(f"{name}{len(names)}")
        return [text.decode("utf-8", "surrogateescape") for each in names for text in self._read(group, each)]

    def _read(self, group: Any, name: str) -> list[bytes]:
        kind = self._h5py.h5a.open(group.id, name.encode())
        count = int(np.prod(kind.shape, dtype=object))
        if not count:
            return []
        self._room -= kind.get_storage_size() + (self._longest * count if kind.dtype.hasobject else 0)
        if self._room < 0 or count > _NAMES:
            raise LimitExceededError(
                f"{self._where}: its attribute {name!r} would take far more than the file"
            )
        if kind.dtype.kind not in "SO" or kind.shape is None or len(kind.shape) > 1:
            raise IncompatibleError(f"{self._where}: its attribute {name!r} is not a text")
        found = np.atleast_1d(np.asarray(group.attrs[name]))
        return [each if isinstance(each, bytes) else str(each).encode("utf-8", "surrogateescape")
                for each in found.tolist()]  # fmt: skip
