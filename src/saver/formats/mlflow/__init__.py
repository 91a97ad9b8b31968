"""Model folders of MLflow: an `MLmodel` file, which says where the model is and how it is loaded.

Format: https://mlflow.org/docs/latest/ml/model/#storage-format
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from saver import format as formats
from saver.disk import mapped
from saver.encoding import encode_opened
from saver.errors import IncompatibleError, SaverError, quoted
from saver.file import content_of
from saver.format import Around, Beside, Chosen, Loss, Out, Reads, Writes
from saver.formats.mlflow.runs import MLMODEL, around, read_meta
from saver.formats.mlflow.writing import MODEL, files
from saver.opened import Opened
from saver.storage import Blob, Bytes, Progress

_KEYS = ("pickled_model", "model_data", "data", "model_path", "model_file", "model_uri", "python_model")
"""What flavours call the file or folder with the model."""

_FILES = 1000


class MLflow(Reads, Writes):
    """A folder with an `MLmodel` file. It is known by its folder alone. What is written holds a Saver file,
    which `saver.integrations.mlflow` loads."""

    name = "mlflow"
    title = "a model folder of MLflow"

    def recognizes(self, blob: Blob) -> bool:
        """Never: no file of it stands for the whole."""
        return False

    def first_of(self, path: str) -> str | None:
        """The file with the model, of a format that Saver reads. IncompatibleError if it is missing."""
        if not os.path.isfile(os.path.join(path, MLMODEL)):
            return None
        meta = read_meta(path, MLMODEL)
        flavors = None if meta is None else meta.get("flavors")
        if type(flavors) is not dict:
            raise IncompatibleError(f"{path}: its file MLmodel is not one that MLflow writes")
        tried = list(_files(path, flavors))
        for each in tried:
            try:
                if formats.of_content(mapped.open_file(each)) is not None:
                    return each
            except SaverError:
                continue
        listed = ", ".join(sorted(map(str, flavors)))[:200]
        raise IncompatibleError(
            f"{path}: a model of MLflow with the flavours {listed}, of which no file is of a format that "
            "Saver reads; load it with MLflow if you trust its author, and save the result with saver.dump"
        )

    def open(self, blob: Blob, beside: Beside | None = None) -> Opened:
        """The content of the file with the model, as its own format opens it."""
        found = formats.of_content(blob)
        if found is None:
            raise IncompatibleError(f"{blob.name} is of no format that Saver reads")
        return found.open(blob, beside)

    def write(self, chosen: Chosen, out: Out, progress: Progress | None) -> Sequence[Loss]:
        """Write one part as a model for `mlflow.pyfunc`."""
        opened = chosen.opened
        if len(chosen.parts) != 1:
            raise IncompatibleError(
                f"{opened.where}: there are {len(chosen.parts)} parts in it, and a model folder of MLflow "
                "holds one model; choose that part"
            )
        only = opened.only(chosen.parts)
        document = msgspec.structs.replace(only.manifest, tensors={}, packs=(), transaction="")
        out.add(f"/{MODEL}", content_of(document, encode_opened(only, progress), progress))
        for name, text in files(opened, chosen.parts[0]).items():
            out.add(f"/{name}", Bytes(text.encode()))
        return []

    def around(self, folder: str, names: Sequence[str]) -> Around | None:
        """Runs, logged models and registered models."""
        return around(folder, names)


FORMAT = MLflow()


def _files(path: str, flavors: dict[str, Any]) -> Iterator[str]:
    """The files that the flavours name, those of their own first, and those in folders that they name."""
    names: dict[str, None] = {}
    for flavor in sorted(flavors, key=lambda each: each == "python_function"):
        about = flavors[flavor] if type(flavors[flavor]) is dict else {}
        names |= {about[key]: None for key in _KEYS if type(about.get(key)) is str}
    for name in names:
        found = _inside(path, name)
        if os.path.isdir(found):
            inner = sorted(os.listdir(found))[:_FILES]
            yield from (place for each in inner if os.path.isfile(place := os.path.join(found, each)))
        elif os.path.isfile(found):
            yield found


def _inside(path: str, name: str) -> str:
    """A path below a folder. Raises IncompatibleError if it leads out of it."""
    found = os.path.join(path, *name.split("/"))
    real, whole = os.path.realpath(found), os.path.realpath(path)
    if "\0" in name or "\\" in name or os.path.isabs(name) or os.path.commonpath([real, whole]) != whole:
        raise IncompatibleError(f"{path}: its file MLmodel names {quoted(name)}, which is not in its folder")
    return found
