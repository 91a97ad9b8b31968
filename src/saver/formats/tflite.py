"""Models of TensorFlow Lite, now LiteRT: files with a graph and its weights, for phones and small devices."""

from __future__ import annotations

from saver.format import WritesObjects


class TensorFlowLite(WritesObjects):
    """A file that the interpreter of LiteRT runs."""

    name = "tflite"
    title = "a model of TensorFlow Lite"
    endings = (".tflite",)
    extra = "tensorflow"


FORMAT = TensorFlowLite()
