"""SavedModels of TensorFlow: folders with a graph and its variables, for servers and other languages."""

from __future__ import annotations

from saver.format import WritesObjects


class SavedModel(WritesObjects):
    """A folder that `tf.saved_model.load` takes, with the signature `serving_default`."""

    name = "savedmodel"
    title = "a SavedModel of TensorFlow"
    extra = "tensorflow"


FORMAT = SavedModel()
