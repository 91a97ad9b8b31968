"""Small objects of the libraries that the fuzzer does not know, for `swapped_kinds`."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

X = np.random.default_rng(0).normal(size=(30, 3))
Y = (X[:, 0] > 0).astype(int)


def _library(name: str) -> Any:
    return importlib.import_module(name)


def _keras() -> Any:
    keras = _library("keras")
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    return {"model": model, "optimizer": keras.optimizers.SGD()}


def _xgboost() -> Any:
    xgboost = _library("xgboost")
    booster = xgboost.train({}, xgboost.DMatrix(X, Y), 2)
    return {"booster": booster, "estimator": xgboost.XGBClassifier(n_estimators=2).fit(X, Y)}


def _lightgbm() -> Any:
    lightgbm = _library("lightgbm")
    booster = lightgbm.train({"verbose": -1}, lightgbm.Dataset(X, Y), 2)
    return {"booster": booster, "estimator": lightgbm.LGBMClassifier(n_estimators=2, verbose=-1).fit(X, Y)}


def _jax() -> Any:
    jax = _library("jax")
    return {"array": jax.numpy.ones(3), "spec": jax.sharding.PartitionSpec("x"), "key": jax.random.key(0)}


def _flax() -> Any:
    nnx, core = _library("flax.nnx"), _library("flax.core")
    net = nnx.Linear(3, 2, rngs=nnx.Rngs(0))
    return {"module": net, "state": nnx.state(net), "frozen": core.FrozenDict({"a": np.ones(2)})}


def _optax() -> Any:
    optax, jax = _library("optax"), _library("jax")
    return {"state": optax.adam(1e-3).init({"w": jax.numpy.ones(3)})}


def _equinox() -> Any:
    equinox, jax = _library("equinox"), _library("jax")
    return {"module": equinox.nn.Linear(3, 2, key=jax.random.key(0))}


def _tensorflow() -> Any:
    tf = _library("tensorflow")
    module = tf.Module()
    module.several, module.named, module.both = (
        [tf.Variable(1.0)],
        {"a": tf.Variable([2.0])},
        (tf.Variable(3.0),),
    )
    return {
        "module": module, "tensor": tf.constant([1.0, 2.0]), "ragged": tf.ragged.constant([[1], [2, 3]]),
        "sparse": tf.sparse.from_dense([[0, 1]]),
        "slices": tf.IndexedSlices(tf.ones((1, 2)), tf.constant([0])),
        "generator": tf.random.Generator.from_seed(1), "dtype": tf.float32,
        "shape": tf.TensorShape([2, None]),
        "spec": tf.TensorSpec([2], tf.float32), "checkpoint": tf.train.Checkpoint(v=tf.Variable(1.0)),
    }  # fmt: skip


def _onnx() -> Any:
    helper = _library("onnx.helper")
    values = [helper.make_tensor_value_info(name, 1, [2]) for name in "xy"]
    node = helper.make_node("Relu", ["x"], ["y"])
    return {"model": helper.make_model(helper.make_graph([node], "g", values[:1], values[1:]))}


def _sentencepiece() -> Any:
    return {"processor": _library("sentencepiece_models").processor("unigram")}


def _tokenizers() -> Any:
    tokenizers, transformers = _library("tokenizers"), _library("transformers")
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0, "b": 1, "[UNK]": 2}, unk_token="[UNK]"))
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=words, unk_token="[UNK]")
    return {
        "tokenizer": words,
        "fast": fast,
        "added": tokenizers.AddedToken("x"),
        "config": transformers.BertConfig(),
    }


def _torch() -> Any:
    torch = _library("torch")
    return {"size": [torch.Size([2, 3])], "storage": [torch.UntypedStorage(8)]}


def _zones() -> Any:
    return {"zones": [_library("dateutil.tz").tzutc(), _library("dateutil.tz").tzoffset("x", 3600)]}


SAMPLES: dict[str, Callable[[], Any]] = {
    "keras": _keras, "xgboost": _xgboost, "lightgbm": _lightgbm, "jax": _jax, "flax": _flax, "optax": _optax,
    "equinox": _equinox, "tensorflow": _tensorflow, "onnx": _onnx, "sentencepiece": _sentencepiece,
    "tokenizers": _tokenizers, "torch": _torch, "zones": _zones,
}  # fmt: skip
