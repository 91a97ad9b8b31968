"""Models of Keras in two files: a configuration as JSON, and weights in HDF5 (`model.to_json`,
`model.save_weights`). Those that Keras 2 wrote are read, too."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from saver.errors import IncompatibleError, NotFoundError
from saver.format import Beside, Chosen, Loss, Out, Reads, Writes
from saver.formats.keras import older, writing
from saver.formats.keras.reading import Model, Weights, document, opened, readable, version_of
from saver.formats.pickle.contents import mapped_whole
from saver.opened import Opened
from saver.storage import Blob, Progress

_JSON, _WEIGHTS = ".json", (".weights.h5", ".h5", "_weights.h5")
_BEGINNING = re.compile(rb'\s*\{\s*"(module|class_name|config|registered_name)"\s*:\s*["{]')
_NAMED = re.compile(rb'"class_name"\s*:\s*"')
_FIRST = 4096


class KerasJson(Reads, Writes):
    """A model as a configuration in JSON, with its weights beside it."""

    name = "keras_json"
    title = "a model of Keras as JSON and weights"
    last = _JSON

    def recognizes(self, blob: Blob) -> bool:
        """Whether it begins as a configuration does."""
        start = blob.read(0, _FIRST)
        return _BEGINNING.match(start) is not None and _NAMED.search(start) is not None

    def first_of(self, path: str) -> str | None:
        """The configuration beside weights whose names begin so."""
        found = any(os.path.isfile(f"{path}{ending}") for ending in _WEIGHTS)
        return f"{path}{_JSON}" if found and os.path.isfile(f"{path}{_JSON}") else None

    def open(self, blob: Blob, beside: Beside | None = None) -> Opened:
        """The model as the only part, with the weights of the file beside it that has the same name."""
        held = _weights(blob, beside)
        config = document(blob.read(), blob.name, "its configuration")
        weights = Weights(mapped_whole(held), held.name, held.size)
        arrays, ordered = weights.all(), None
        with readable(held.name), weights.source() as source:
            if {"layer_names", "layer_names0"} & {*(source.attributes("") or ())}:
                texts = older.Texts(source, mapped_whole(held))
                ordered = older.ordered_arrays(texts, "", arrays, held.name)
        version = version_of(config.get("keras_version") if type(config) is dict else None)
        if ordered is not None:
            found = Model(older.as_now(config, None, blob.name)[0], {}, {}, ordered, older=True)
        elif older.older().is_older(version):
            found = older.model_of(config, arrays, {}, blob.name)
        else:
            found = Model(config, arrays, {})
        return opened(found, held, mapped_whole(held), blob.size + held.size, version)

    def base(self, path: str) -> str:
        """The path without the ending of one of the files."""
        ending = next((each for each in (_JSON, *_WEIGHTS) if path.lower().endswith(each)), "")
        return path[: len(path) - len(ending)]

    def write(self, chosen: Chosen, out: Out, progress: Progress | None) -> Sequence[Loss]:
        """Write one model, without making it. The configuration holds the words of its vocabularies."""
        return writing.pair(chosen, out, progress)


FORMAT = KerasJson()


def _weights(blob: Blob, beside: Beside | None) -> Blob:
    base = os.path.basename(blob.name)
    stem = base.removesuffix(_JSON)
    if beside is None:
        raise IncompatibleError(f"{blob.name}: the weights are in another file; pass the path of this one")
    for ending in _WEIGHTS:
        try:
            return beside(f"{stem}{ending}")
        except NotFoundError:
            continue
    raise IncompatibleError(
        f"{blob.name}: this is the configuration of a model; its weights should be beside it, in "
        f"{stem}{_WEIGHTS[0]}"
    )
