"""Models of Keras in its own files, `.keras`: a zip archive of a configuration, weights in HDF5 and words.

What is read becomes what a save of the model would have been. Nothing that the configuration names is
imported or made for it.
"""

from __future__ import annotations

from collections.abc import Sequence

from saver.errors import IncompatibleError, SaverError
from saver.format import Beside, Chosen, Loss, Out, Reads, Writes
from saver.formats.keras import older, writing
from saver.formats.keras.reading import Model, Weights, document, opened, version_of
from saver.formats.pickle.archive import Archive
from saver.formats.pickle.records import MAGIC
from saver.opened import Opened
from saver.storage import Blob, Progress

CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
_ASSETS, _WORDS = "assets/", "/vocabulary.txt"


class Keras(Reads, Writes):
    """Models in the files that `model.save` writes."""

    name = "keras"
    title = "a model of Keras"
    endings = (".keras",)

    def recognizes(self, blob: Blob) -> bool:
        """Whether it is an archive with a configuration and weights, or begins as those of Keras do."""
        if blob.read(0, 4) != MAGIC:
            return False
        try:
            archive = Archive(blob)
        except SaverError:
            return blob.read(30, 30 + len(METADATA)) == METADATA.encode()  # opening it says what is wrong
        return archive.has(CONFIG) and archive.has(METADATA)

    def open(self, blob: Blob, beside: Beside | None = None) -> Opened:
        """The model as the only part."""
        archive = Archive(blob)
        for name in archive.names:
            asset = name.startswith(_ASSETS) and name.endswith((_WORDS, "/"))
            if name not in (CONFIG, METADATA, WEIGHTS) and not asset:
                raise IncompatibleError(
                    f"{blob.name}: it holds the file {name[:80]!r}, which only a class of its author's "
                    "reads; load it with Keras, and save the model with saver.dump"
                )
        metadata = document(archive.read(METADATA), blob.name, METADATA)
        config = document(archive.read(CONFIG), blob.name, CONFIG)
        weights = Weights(archive.checked(WEIGHTS), blob.name, blob.size)
        version = version_of(metadata.get("keras_version") if type(metadata) is dict else None)
        arrays, words = weights.all(), _vocabularies(archive, blob)
        if older.older().is_older(version):
            found = older.model_of(config, arrays, words, blob.name)
        else:
            found = Model(config, arrays, words)
        return opened(found, blob, archive.mapped, blob.size, version)

    def write(self, chosen: Chosen, out: Out, progress: Progress | None) -> Sequence[Loss]:
        """Write one model, without making it."""
        return writing.archive(chosen, out, progress)


FORMAT = Keras()


def _vocabularies(archive: Archive, blob: Blob) -> dict[str, list[str]]:
    """The words of lookups, by their paths; a TextVectorization writes those of its lookup once more."""
    found = {}
    for name in archive.names:
        if name.startswith(_ASSETS) and name.endswith(_WORDS):
            try:
                text = archive.read(name).decode()
            except UnicodeDecodeError:
                raise IncompatibleError(f"{blob.name}: {name[:80]!r} is not text in UTF-8") from None
            found[name[len(_ASSETS) : -len(_WORDS)]] = text.replace("\r\n", "\n").split("\n")
    return {path: words for path, words in found.items() if f"{path}/_lookup_layer" not in found}
