"""Layers models of TensorFlow.js are read without leaving their folder, whatever they say."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import saver
from saver.errors import IncompatibleError, SaverError
from saver.opening import open_file

KERNEL = np.arange(8, dtype="f4").reshape(4, 2)
BIAS = np.array([1, -1], "f4")


def layer(kind: str, name: str, **config: Any) -> dict[str, Any]:
    return {"class_name": kind, "config": {"name": name, **config}}


def document(kind: str = "Dense") -> dict[str, Any]:
    """A model of one layer; one that Keras does not have makes it a dict."""
    layers = [layer(kind, "d", units=2, activation="linear", batch_input_shape=[None, 4])]
    return {
        "format": "layers-model",
        "modelTopology": {"class_name": "Sequential", "config": {"name": "m", "layers": layers}},
        "weightsManifest": [
            {
                "paths": ["one.bin", "two.bin"],
                "weights": [
                    {"name": "d/kernel", "shape": [4, 2], "dtype": "float32"},
                    {"name": "d/bias", "shape": [2], "dtype": "float32"},
                ],
            }
        ],
    }


def folder(path: Path, content: Any = None, cut: int = 10) -> Path:
    """A folder with this document, whose weights are cut after some bytes."""
    path.mkdir(exist_ok=True)
    text = content if isinstance(content, (str, bytes)) else json.dumps(content or document("Odd"))
    (path / "model.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    data = KERNEL.tobytes() + BIAS.tobytes()
    (path / "one.bin").write_bytes(data[:cut])
    (path / "two.bin").write_bytes(data[cut:])
    return path


@pytest.mark.parametrize("cut", range(41))
def test_weights_are_read_wherever_the_files_end(cut: int, tmp_path: Path) -> None:
    found = saver.load(folder(tmp_path / "m", cut=cut))
    assert found["topology"] == document("Odd")["modelTopology"]
    assert np.array_equal(found["weights"]["d/kernel"], KERNEL)
    assert np.array_equal(found["weights"]["d/bias"], BIAS)


def test_layers_that_are_known_make_a_model_of_keras(tmp_path: Path) -> None:
    opened = open_file(str(folder(tmp_path / "m", document())))
    (tree,) = opened.trees.values()
    assert tree.root.codec == "keras.layer"
    keras = pytest.importorskip("keras")
    model = saver.load(tmp_path / "m")
    assert isinstance(model, keras.Sequential)
    assert [weight.tolist() for weight in model.get_weights()] == [KERNEL.tolist(), BIAS.tolist()]


def test_all_dtypes_are_read(tmp_path: Path) -> None:
    changed = document("Odd")
    changed["weightsManifest"] = [
        {"paths": ["a.bin"], "weights": [{"name": "a", "shape": [2], "dtype": "bool"},
                                         {"name": "e", "shape": [0, 3], "dtype": "float32"},
                                         {"name": "b", "shape": [], "dtype": "int32"}]},
        {"paths": [], "weights": []},
    ]  # fmt: skip
    folder(tmp_path / "m", changed)
    (tmp_path / "m" / "a.bin").write_bytes(b"\0\1" + np.int32(-5).tobytes())
    found = saver.load(tmp_path / "m")["weights"]
    assert found["a"].tolist() == [False, True]
    assert found["e"].shape == (0, 3)
    assert found["b"] == -5


def test_the_state_of_an_optimizer_is_left_out(tmp_path: Path) -> None:
    changed = document("Odd")
    changed["weightsManifest"][0]["weights"][1]["group"] = "optimizer"
    assert saver.load(folder(tmp_path / "m", changed))["weights"].keys() == {"d/kernel"}


OUTSIDE = [
    "../secret.bin", "/etc/passwd", "a/b.bin", "..", ".", "", "x\0y", "..\\secret.bin", "gone.bin",
    "a/../one.bin",
    "file:///etc/passwd", "https://example.org/x.bin",
]  # fmt: skip


@pytest.mark.parametrize("name", OUTSIDE)
def test_no_file_outside_of_the_folder_is_opened(name: str, tmp_path: Path) -> None:
    (tmp_path / "secret.bin").write_bytes(bytes(40))
    changed = document("Odd")
    changed["weightsManifest"][0]["paths"] = [name]
    with pytest.raises(SaverError):
        saver.load(folder(tmp_path / "m", changed))


def group(**changes: Any) -> Callable[[Any], None]:
    return lambda found: found["weightsManifest"][0].update(changes)


def weight(number: int = 0, **changes: Any) -> Callable[[Any], None]:
    return lambda found: found["weightsManifest"][0]["weights"][number].update(changes)


def quantized(kind: str, **changes: Any) -> Callable[[Any], None]:
    """A weight that takes all 40 bytes, quantized."""
    said = {"dtype": "uint16", "scale": 1, "min": 0, **changes}
    weights = [{"name": "x", "shape": [20], "dtype": kind, "quantization": said}]
    return lambda found: found["weightsManifest"][0].update(weights=weights)


def whole(**changes: Any) -> Callable[[Any], None]:
    return lambda found: found.update(changes)


WRONG: dict[str, Callable[[Any], None]] = {
    "a graph model": whole(format="graph-model"),
    "no topology": whole(modelTopology="Sequential"),
    "no manifest": whole(weightsManifest={}),
    "groups that are numbers": whole(weightsManifest=[1]),
    "no paths": group(paths="one.bin"),
    "paths that are numbers": group(paths=[1]),
    "no weights": group(weights=None),
    "weights that are lists": group(weights=[[]]),
    "a file twice": group(paths=["one.bin", "two.bin", "one.bin"]),
    "ten thousand files and one": group(paths=[f"{number}.bin" for number in range(10_001)]),
    "too few files": group(paths=["one.bin"]),
    "the order of the files": group(paths=[]),
    "too many weights": lambda found: found["weightsManifest"][0]["weights"].append(
        {"name": "x", "shape": [1], "dtype": "float32"}),
    "too few weights": lambda found: found["weightsManifest"][0]["weights"].pop(),
    "a name twice": weight(name="d/bias"),
    "a name that is a number": weight(name=3),
    "a name that is not text": weight(name="\ud800"),
    "no dtype": weight(dtype=None),
    "another dtype": weight(dtype="string"),
    "a quantized weight": weight(quantization={"dtype": "uint8", "scale": 1, "min": 0}),
    "a weight of halves": weight(quantization={"dtype": "float16"}),
    "no quantization": quantized("float32", dtype=None),
    "another quantization": quantized("float32", dtype="uint4"),
    "a list of quantizations": quantized("float32", dtype=["uint16"]),
    "a quantization that is a number": weight(quantization=8),
    "a quantization that is empty": weight(quantization=None),
    "no scale": quantized("float32", scale=None),
    "a scale that is a text": quantized("float32", scale="1"),
    "a scale that is a flag": quantized("float32", scale=True),
    "a scale that is huge": quantized("float32", scale=1 << 2000),
    "a quantized weight beyond float32": quantized("float32", scale=3e38),
    "a quantized weight below float32": quantized("float32", min=-1e39),
    "a quantized weight whose scale is NaN": quantized("float32", scale=float("nan")),
    "a quantized weight beyond int32": quantized("int32", scale=1e8),
    "halves that are integers": quantized("int32", dtype="float16"),
    "a shape that is a number": weight(shape=8),
    "a negative size": weight(shape=[-4, -2]),
    "a size that is a text": weight(shape=["4", 2]),
    "a size that is a flag": weight(shape=[4, True]),
    "a size that is a fraction": weight(shape=[4.0, 2]),
    "a huge size": weight(shape=[1 << 50]),
    "a huger size": weight(shape=[1 << 200]),
    "huge sizes": weight(shape=[1 << 40] * 60),
    "too many axes": weight(shape=[1] * 65),
    "one byte less": weight(1, dtype="bool"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_contradicts_itself_is_refused(name: str, tmp_path: Path) -> None:
    changed = document("Odd")
    WRONG[name](changed)
    with pytest.raises(SaverError, match=r"model\.json"):
        saver.load(folder(tmp_path / "m", changed))


def test_a_file_is_named_once(tmp_path: Path) -> None:
    changed = document("Odd")
    WRONG["a file twice"](changed)
    with pytest.raises(SaverError, match="each of them once"):
        saver.load(folder(tmp_path / "m", changed))


def test_booleans_that_are_neither_are_refused(tmp_path: Path) -> None:
    changed = document("Odd")
    changed["weightsManifest"][0]["weights"] = [{"name": "x", "shape": [40], "dtype": "bool"}]
    with pytest.raises(IncompatibleError, match="not booleans"):
        saver.load(folder(tmp_path / "m", changed))


NUMBERS = np.random.default_rng(0).integers(0, 256, 40, np.uint8)
QUANTIZED: dict[str, tuple[str, dict[str, Any], Any]] = {
    "bytes": ("float32", {"dtype": "uint8", "scale": 0.1, "min": -3.7},
              (NUMBERS * 0.1 + -3.7).astype(np.float32)),
    "two bytes": ("float32", {"dtype": "uint16", "scale": 1.5e-4, "min": 2},
                  (NUMBERS.view("<u2") * 1.5e-4 + 2).astype(np.float32)),
    "halves": ("float32", {"dtype": "float16"}, np.sort(NUMBERS.view("<f2")).astype(np.float32)),
    "integers": ("int32", {"dtype": "uint8", "scale": 0.5, "min": -20},
                 np.floor(NUMBERS * 0.5 - 20 + 0.5).astype(np.int32)),
}  # fmt: skip


@pytest.mark.parametrize("name", QUANTIZED)
@pytest.mark.parametrize("cut", [1, 8, 13, 40])
def test_quantized_weights_are_what_tensorflow_js_makes_of_them(name: str, cut: int, tmp_path: Path) -> None:
    """Wherever the files of the weights are cut, within a number, too."""
    kind, said, expected = QUANTIZED[name]
    held = np.sort(NUMBERS.view("<f2")) if name == "halves" else NUMBERS
    changed = document("Odd")
    spec = {"name": "d/kernel", "shape": [len(expected)], "dtype": kind, "quantization": said}
    flag = {"name": "flag", "shape": [1], "dtype": "bool"}
    empty = {"name": "none", "shape": [0, 3], "dtype": kind, "quantization": said}
    changed["weightsManifest"][0]["weights"] = [flag, spec, empty]
    path, data = folder(tmp_path / "m", changed), b"\1" + held.tobytes()
    (path / "one.bin").write_bytes(data[:cut])
    (path / "two.bin").write_bytes(data[cut:])
    found = saver.load(path)["weights"]
    assert found["d/kernel"].dtype == expected.dtype
    assert np.array_equal(found["d/kernel"], expected, equal_nan=True)
    assert (found["flag"].tolist(), found["none"].shape) == ([True], (0, 3))


@pytest.mark.parametrize("cut", [-1, 1])
def test_files_of_another_length_are_refused(cut: int, tmp_path: Path) -> None:
    folder(tmp_path / "m")
    data = (tmp_path / "m" / "two.bin").read_bytes()
    (tmp_path / "m" / "two.bin").write_bytes((data + b"\0")[: len(data) + cut])
    with pytest.raises(IncompatibleError, match="bytes"):
        saver.load(tmp_path / "m")


@pytest.mark.slow
@pytest.mark.shows("TensorFlow.js", "hostile files tried")
@pytest.mark.parametrize("kind", ["Odd", "Dense"])
def test_a_document_that_is_cut_or_changed_is_a_document_or_refused(
    kind: str, tmp_path: Path, record_property: Any
) -> None:
    """At every byte."""
    text = json.dumps(document(kind)).encode()
    path = folder(tmp_path / "m") / "model.json"
    record_property("hostile files", 5 * len(text))
    for at in range(len(text)):
        for changed in (
            text[:at],
            *(text[:at] + byte + text[at + 1 :] for byte in (b'"', b"9", b"}", b"\xff")),
        ):
            path.write_bytes(changed)
            try:
                found = open_file(str(tmp_path / "m"))
            except SaverError:
                continue
            assert found.trees


DEEP: dict[str, Callable[[int], Any]] = {
    "lists": lambda depth: "[" * depth + "]" * depth,
    "dicts": lambda depth: '{"a":' * depth + "1" + "}" * depth,
    "models": lambda depth: '{"class_name":"Sequential","config":{"name":"m","layers":[' * depth
    + "]}}" * depth,
    "wrappers": lambda depth: '{"class_name":"TimeDistributed","config":{"name":"m","layer":' * depth + "1"
    + "}}" * depth,
}  # fmt: skip


@pytest.mark.parametrize("depth", [40, 60, 500, 5_000, 100_000])
@pytest.mark.parametrize("name", DEEP)
def test_what_is_nested_deep_is_read_or_refused(name: str, depth: int, tmp_path: Path) -> None:
    text = f'{{"modelTopology": {{"model_config": {DEEP[name](depth)}}}, "weightsManifest": []}}'
    folder(tmp_path / "m", text)
    try:
        assert saver.load(tmp_path / "m")["topology"]
    except SaverError:
        assert depth > 40


def test_many_layers_and_weights_take_time_in_proportion(tmp_path: Path) -> None:
    """Names that clash, layers without end: what would be quadratic would not come to an end."""
    changed = document()
    changed["modelTopology"]["config"]["layers"] += [
        layer("Dropout", f"x{n}", rate=0.5) for n in range(20_000)
    ]
    changed["weightsManifest"][0]["weights"] += [
        {"name": f"w{n}", "shape": [0], "dtype": "float32"} for n in range(20_000)
    ]
    opened = open_file(str(folder(tmp_path / "m", changed)))
    assert [*opened.trees] == ["topology", "weights"]


def test_bytes_alone_are_not_enough(tmp_path: Path) -> None:
    data = (folder(tmp_path / "m") / "model.json").read_bytes()
    with pytest.raises(IncompatibleError, match="pass the path of the folder"):
        saver.loads(data)


def test_it_is_imported_and_exported_again(tmp_path: Path) -> None:
    pytest.importorskip("keras")
    store = saver.Saver(tmp_path / "store")
    store.import_(folder(tmp_path / "m", document()), "net")
    assert store.export("net", tmp_path / "out", format="tfjs").losses == ()
    assert [each.tolist() for each in saver.load(tmp_path / "out").get_weights()] == [
        KERNEL.tolist(),
        BIAS.tolist(),
    ]
