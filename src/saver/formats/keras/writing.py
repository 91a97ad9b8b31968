"""What is saved of a model, in the files of Keras."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from saver.errors import IncompatibleError
from saver.format import Chosen, Loss, Out
from saver.formats._hdf5 import library
from saver.formats._writing import PIECE, spread
from saver.formats.keras.reading import files
from saver.opened import Opened
from saver.stack import anywhere
from saver.storage import Bytes, Progress
from saver.tensors import NUMPY_DTYPE
from saver.tree import Node, Reference, Tensor

_ANCIENT = "3.0.0"
"""In place of a version of Keras that was not recorded."""

_SCALING = 4
"""Variables of a LossScaleOptimizer that are its own; those of the optimizer within follow."""


class _Variable(NamedTuple):
    path: str
    tensor: str


class Written(NamedTuple):
    """A model to be written: its configuration, its variables, its words by the paths of their layers, and
    what is lost."""

    opened: Opened
    config: dict[str, Any]
    variables: list[_Variable]
    words: dict[str, list[Any]]
    losses: list[Loss]


def archive(chosen: Chosen, out: Out, progress: Progress | None) -> Sequence[Loss]:
    """Write a model as one file."""
    found = model_of(chosen, "a .keras file")
    metadata = {"keras_version": _version(found.opened), "date_saved": _date(found.opened)}
    files_of_words = list(_assets(found))
    with zipfile.ZipFile(out.path(""), "w") as made, tempfile.TemporaryFile(prefix="saver-") as held:
        weights(found, held, progress)
        size, _ = held.tell(), held.seek(0)
        made.writestr(_entry("metadata.json"), json.dumps(metadata))
        made.writestr(_entry("config.json"), json.dumps(found.config))
        with made.open(_entry("model.weights.h5"), "w", force_zip64=size >= 1 << 31) as file:
            shutil.copyfileobj(held, file, PIECE)
        for name, text in files_of_words:
            made.writestr(_entry(name), text)
    return found.losses


def pair(chosen: Chosen, out: Out, progress: Progress | None) -> Sequence[Loss]:
    """Write a model as two files, of which that of its configuration also holds the words."""
    found = model_of(chosen, "two files of Keras")
    for path, words in found.words.items():
        _in_config(found, path, words)
    with open(out.path(".weights.h5"), "w+b") as file:
        weights(found, file, progress)
    out.add(".json", Bytes(json.dumps(found.config, indent=1).encode()))
    return found.losses


def model_of(chosen: Chosen, what: str) -> Written:
    """The chosen part, which is one model of Keras. Raises IncompatibleError for anything else."""
    opened, (part, *others) = chosen.opened, chosen.parts
    node = _resolved(opened.tree(part).root, opened)
    if others or type(node) is not Node or node.codec != "keras.layer" or type(node.state) is not dict:
        raise IncompatibleError(f"{opened.where}: {what} holds one model of Keras; choose a part that is one")
    state: dict[str, Any] = node.state
    if state.get("ordered") is not None:
        raise IncompatibleError(
            f"{opened.where}: it was read from an older file, in which variables have no paths; load it, and "
            "write what saver.dump saves of it"
        )
    try:
        config, lost = anywhere(files().written, state["config"], state["compiled"])
        variables = list(_variables(state))
        words = {path: _words(each, opened) for path, each in state["vocabularies"].items()}
        lost += _lost(state)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise IncompatibleError(
            f"{opened.where}: the part {part!r} is not what is saved of a model: {error}"
        ) from None
    losses = [Loss(f"$.{part}" + f".{place}" * bool(place), what) for place, what in lost]
    return Written(opened, config, variables, words, losses)


def _resolved(value: Any, opened: Opened) -> Any:
    return opened.nodes.get(value.id) if type(value) is Reference else value


def _lost(state: Mapping[str, Any]) -> list[tuple[str, str]]:
    lost = [
        (path, "the matrices of its LoRA, which are merged into its weights") for path in state["adapters"]
    ]
    lost += [
        (path, "the position of its random generator, which begins anew")
        for path in state["generators"] or ()
    ]
    lost += [
        (path, "the variables of its optimizer: it was built when others were trainable")
        for path, each in state["optimizers"].items()
        if type(each["places"]) is list
    ]
    return lost


def _variables(state: Mapping[str, Any]) -> Iterator[_Variable]:
    for path, own in state["variables"].items():
        for name, ref in own.items():
            yield _Variable(f"{path}/vars/{name}" if path else f"vars/{name}", _name(ref))
    for path, each in state["optimizers"].items():
        if type(each["places"]) is list:
            continue
        at = f"{path}/optimizer" if path else "optimizer"
        names = [_name(ref) for ref in each["variables"]]
        yield from (_Variable(f"{at}/vars/{number}", name) for number, name in enumerate(names))
        if _optimizer(state["compiled"][path]) == "LossScaleOptimizer":
            inner = names[_SCALING:]
            yield from (
                _Variable(f"{at}/inner_optimizer/vars/{number}", name) for number, name in enumerate(inner)
            )


def _optimizer(settings: Any) -> Any:
    found = settings.get("optimizer")
    return found.get("class_name") if type(found) is dict else None


def _name(ref: Any) -> str:
    if type(ref) is not Tensor:
        raise ValueError("a variable is not a tensor")
    return ref.name


def _words(value: Any, opened: Opened) -> list[Any]:
    node = _resolved(value, opened)
    found = [_word(each, opened) for each in node.state] if type(node.state) is list else [None]
    if any(type(each) not in (str, int) for each in found):
        raise ValueError("the words of a vocabulary are neither texts nor whole numbers")
    return found


def _word(value: Any, opened: Opened) -> Any:
    node = _resolved(value, opened)
    if type(node) is Node and node.codec == "str" and type(node.state) is Tensor:
        return opened.tensors.read(node.state.name).tobytes().decode("utf-8", "surrogatepass")
    return node


def weights(found: Written, file: Any, progress: Progress | None) -> None:
    """Write the variables as an HDF5 file, each when it is read."""
    opened = found.opened
    lengths = (opened.tensors.info(each.tensor).length for each in found.variables)
    report = spread(progress, lengths)
    with library().File(file, "w", libver=("earliest", "v110")) as made:
        for each in found.variables:
            _add(made, each, opened)
            report(opened.tensors.info(each.tensor).length)
    file.seek(0, 2)


def _add(file: Any, each: _Variable, opened: Opened) -> None:
    info = opened.tensors.info(each.tensor)
    brain = info.dtype == "BF16"
    dtype = np.dtype("V2") if brain else NUMPY_DTYPE.get(info.dtype)
    if dtype is None:
        raise IncompatibleError(
            f"{opened.where}: {each.path!r} is a {info.dtype}, which HDF5 files of Keras do not hold"
        )
    rows = opened.tensors.read(each.tensor).view(dtype).reshape(info.shape)
    made = file.create_dataset(each.path, info.shape, dtype)
    if info.shape and rows.size:
        step = max(1, PIECE * info.shape[0] // rows.nbytes)
        for at in range(0, info.shape[0], step):
            made[at : at + step] = rows[at : at + step]
    elif rows.size:
        made[()] = rows
    if brain:
        made.attrs["dtype"] = "bfloat16"
    del rows
    opened.tensors.release(each.tensor)


def _assets(found: Written) -> Iterator[tuple[str, str]]:
    """The files of words, as Keras reads them: each line is a word, empty ones at the end left out."""
    for path, words in found.words.items():
        text = "\n".join(map(str, words))
        if text.splitlines() != list(map(str, words)) or not words or words[-1] == "":
            _in_config(found, path, words)
            continue
        for at in (path, path.removesuffix("/_lookup_layer")):
            name = f"assets/{at}/vocabulary.txt" if at else "assets/vocabulary.txt"
            yield name, text
            if at == path.removesuffix("/_lookup_layer"):
                break


def _in_config(found: Written, path: str, words: list[Any]) -> None:
    """Put words where the layer takes them from its configuration."""
    here = dict(files().places(found.config))
    layer = here.get(path.removesuffix("/_lookup_layer")) or {"config": {}}
    if "vocabulary" not in layer["config"] or layer["config"].get("output_mode") == "tf_idf":
        raise IncompatibleError(
            f"{found.opened.where}: the words of {path!r} have no place in the configuration; write a .keras "
            "file, or, if a word has a line break, a Saver file"
        )
    layer["config"]["vocabulary"] = words


def _entry(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)  # of 1980, so that equal models make equal files
    info.external_attr = 0o644 << 16
    return info


def _version(opened: Opened) -> str:
    return str(opened.manifest.environment.get("packages", {}).get("keras", _ANCIENT))


def _date(opened: Opened) -> str:
    return time.strftime("%Y-%m-%d@%H:%M:%S", time.gmtime(opened.manifest.time))
