"""What files of Keras say of a model, as a save of that model has it: a tree and tensors."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from saver import registry
from saver.codec import Codec, Decoder, Encoder
from saver.errors import IncompatibleError, LimitExceededError, SaverError
from saver.formats._hdf5 import BROKEN, Held
from saver.formats._hdf5_apart import Source, source_of
from saver.formats._opening import limit_of
from saver.formats._packing import ArrayBlob, opened_parts
from saver.opened import Opened
from saver.repo.manifest import SOLE
from saver.stack import anywhere
from saver.storage import Blob
from saver.strict import strict_json
from saver.tensors import TENSOR_DTYPE, Bytes, TensorData
from saver.tree import EXACT_INTEGER, Node, Tensor, Value

_VARIABLE = re.compile("(?:(.+)/)?vars/(.+)", re.DOTALL)
_OLD_LAYERS = "_layer_checkpoint_dependencies"
"""What `layers` was called in files of TensorFlow 2.12."""


class Model(NamedTuple):
    """What was read: the JSON of a configuration, and arrays by their paths in the file of the weights.

    `ordered` is None, or the arrays of layers in the order of older files, those of the model itself last;
    `optimizer` are then those of its optimizer. `older` says that the configuration was not written by this
    major version of Keras, which has other random generators.
    """

    config: Any
    arrays: Mapping[str, TensorData]
    vocabularies: Mapping[str, list[str]]
    ordered: list[list[TensorData]] | None = None
    optimizer: tuple[TensorData, ...] = ()
    older: bool = False


def rate(value: float) -> TensorData:
    """The rate of an optimizer as one of its variables."""
    return TensorData("F32", (), np.array([value], np.float32).view(np.uint8))


def files() -> ModuleType:
    """What the family knows of the files of its library."""
    found = registry.family("keras").module("files")
    assert found is not None
    return found


def opened(model: Model, blob: Blob, mapped: Bytes | None, size: int, version: str) -> Opened:
    """The opened file of a model, which consists of `size` bytes and was written by this version of Keras."""
    walk = _Walk()
    try:
        tree = walk.part(SOLE, model)
    except SaverError as error:
        raise IncompatibleError(f"{blob.name}: {error}") from None
    environment: dict[str, Any] = {"imported from": f"a file of Keras {version}".rstrip()}
    if version:
        environment["packages"] = {"keras": version}
    return opened_parts(
        {SOLE: tree}, walk.batches, walk.tensors, whole=False, blob=blob, mapped=mapped, size=size,
        environment=environment,
    )  # fmt: skip


class _Walk(Encoder):
    def codec_of(self, obj: Any, kind: type) -> Codec | None:
        return _MODEL if kind is Model else super().codec_of(obj, kind)


class _ModelCodec(Codec):
    """Encodes what was read as the family encodes a model, which decodes and checks it."""

    name = "keras.layer"

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        try:
            found = anywhere(files().read, obj.config)
            state = _state(obj, found.compiled, encoder)
        except RecursionError:
            encoder.refuse("its configuration is nested too deeply")
        except (ValueError, TypeError, AttributeError) as error:
            encoder.refuse(f"{error}. Saver made none of it; see docs/frameworks.md for what can be loaded")
        state |= {"config": found.config, "compiled": found.compiled}
        state["generators"] = {} if found.seedless and not obj.older else None
        state["frozen"] = [] if found.trainable else None
        order = ("config", "compiled", "variables", "adapters", "generators", "vocabularies", "frozen",
                 "optimizers", "ordered")  # fmt: skip
        return {key: state[key] for key in order if key in state}

    def decode(self, node: Node, decoder: Decoder) -> Any:
        raise NotImplementedError


_MODEL = _ModelCodec()


def _state(model: Model, compiled: Mapping[str, Any], encoder: Encoder) -> dict[str, Value]:
    """The state of a model. What optimizers hold within them is theirs already."""
    owners = {f"{path}/optimizer" if path else "optimizer": path for path in compiled}
    layers, optimizers = dict[str, dict[str, TensorData]](), dict[str, dict[str, TensorData]]()
    for place, data in model.arrays.items():
        path, name = _split(place)
        holder = next((each for each in owners if path == each or path.startswith(f"{each}/")), None)
        if holder is None and path.rpartition("/")[2] != "optimizer":
            layers.setdefault(path, {})[name] = data
        elif holder == path:
            optimizers.setdefault(owners[path], {})[name] = data
    if model.optimizer and "" in compiled:
        optimizers[""] = {str(at): data for at, data in enumerate(model.optimizer)}
    state: dict[str, Value] = {
        "variables": {
            path: {name: _tensor(data, encoder, path, name) for name, data in sorted(own.items())}
            for path, own in sorted(layers.items())
        },
        "adapters": {},
        "vocabularies": {
            path: encoder.own(words, *_steps(path), "vocabulary")
            for path, words in sorted(model.vocabularies.items())
        },
        "optimizers": {path: _optimizer(own, path, encoder) for path, own in sorted(optimizers.items())},
    }
    if model.ordered is not None:
        state["ordered"] = [
            [_tensor(data, encoder, str(at), str(number)) for number, data in enumerate(own)]
            for at, own in enumerate(model.ordered)
        ]
    return state


def _split(place: str) -> tuple[str, str]:
    found = _VARIABLE.fullmatch(place)
    if found is None:
        raise ValueError(f"{place[:80]!r} is not where a variable of a layer is")
    path = found[1] or ""
    if path.split("/")[0] == _OLD_LAYERS:
        path = path.replace(_OLD_LAYERS, "layers")
    return path, found[2]


def _steps(path: str) -> list[str]:
    return path.split("/") if path else []


def _tensor(data: TensorData, encoder: Encoder, path: str, name: str) -> Tensor:
    return encoder.raw_tensor(data, *_steps(path), name)


def _optimizer(own: Mapping[str, TensorData], path: str, encoder: Encoder) -> Value:
    names = [str(at) for at in range(len(own))]
    if own.keys() != {*names}:
        encoder.refuse("the variables of its optimizer are not numbered")
    steps = [*_steps(path), "optimizer"]
    return {
        "places": files().TRAINABLE if len(own) > 2 else None,  # its count of steps and its rate
        "variables": [encoder.raw_tensor(own[name], *steps, at) for at, name in enumerate(names)],
    }


class Weights:
    """The arrays of an HDF5 file, by their paths: views of its bytes, or unpacked into memory."""

    def __init__(self, data: Bytes, where: str, size: int) -> None:
        self._data, self._where = data, where
        self._room = limit_of(size)

    def source(self) -> AbstractContextManager[Source]:
        """The file, to be closed."""
        return source_of(ArrayBlob(self._data, self._where))

    def all(self) -> dict[str, TensorData]:
        """All arrays."""
        with readable(self._where), self.source() as source:
            return {each.name: self._array(each, source) for each in source.sets()}

    def _array(self, each: Held, source: Source) -> TensorData:
        dtype = each.dtype
        code = TENSOR_DTYPE.get((dtype.kind, dtype.itemsize)) if dtype.isnative else None
        if each.brain:
            code = "BF16"
        if code is None or any(axis > EXACT_INTEGER for axis in each.shape):
            raise self._wrong(each, f"its elements are of the kind {dtype}, which no variable has")
        if each.offset is not None:
            flat = self._data[each.offset : each.offset + each.size]
        else:
            self._room -= each.size
            if self._room < 0:
                raise LimitExceededError(
                    f"{self._where}: unpacked, it would take far more bytes than it has; write it without "
                    "compression"
                )
            flat = np.frombuffer(b"".join(source.pieces(each.name)), np.uint8)
        if flat.size != each.size or (code == "BOOL" and each.size and flat.max() > 1):
            raise self._wrong(each, "its bytes are not those of its elements")
        return TensorData(code, each.shape, flat)

    def _wrong(self, each: Held, why: str) -> IncompatibleError:
        return IncompatibleError(f"{self._where}: {each.name[:80]!r}: {why}")


def document(text: bytes, where: str, what: str) -> Any:
    """A JSON document of a file."""
    return strict_json(text, f"{where}: {what}")


def version_of(found: Any) -> str:
    """The version of Keras, if it is one."""
    return found if type(found) is str and re.fullmatch(r"\d[\w.+-]{0,30}", found) else ""


@contextmanager
def readable(where: str) -> Iterator[None]:
    """Raises IncompatibleError for what h5py raises of a file that is broken."""
    try:
        yield
    except SaverError:
        raise
    except BROKEN as error:
        raise IncompatibleError(f"{where}: its HDF5 file is broken: {error!s:.200}") from None
