"""ONNX: models, whose large weights are tensors that versions share."""

from __future__ import annotations

from saver.family import Change, Family

FAMILY = Family(
    name="onnx",
    packages=("onnx",),
    codecs="saver.families.onnx.codecs",
    change=Change("note", "ok", "ok", "a model names the versions of the operators that it was made for"),
    instead={
        "onnxruntime.capi.onnxruntime_inference_collection.InferenceSession": "save the model that it was "
        "made of, and make it again after loading",
    },
)
