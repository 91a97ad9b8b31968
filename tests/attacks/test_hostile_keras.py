"""Changed files of Keras: nothing that they name is imported or made, nothing grows, nothing is followed."""

from __future__ import annotations

import copy
import io
import json
import random
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import saver
from saver.errors import IncompatibleError, SaverError, UntrustedError

h5py = pytest.importorskip("h5py")

MUTANTS = 150
POLICY = {"module": "keras", "class_name": "DTypePolicy", "config": {"name": "float32"}}
HISTORY = {"shape": [None, 4], "dtype": "float32", "keras_history": ["in", 0, 0]}
CONFIG: dict[str, Any] = {
    "module": "keras.src.models.functional",
    "class_name": "Functional",
    "registered_name": "Functional",
    "config": {
        "name": "net",
        "layers": [
            {"module": "keras.layers", "class_name": "InputLayer", "name": "in", "inbound_nodes": [],
             "config": {"batch_shape": [None, 4], "dtype": "float32", "name": "in"}},
            {"module": "keras.layers", "class_name": "Dense", "name": "a", "registered_name": None,
             "config": {"name": "a", "dtype": POLICY, "units": 2, "activation": "relu", "kernel_initializer":
                        {"module": "keras.initializers", "class_name": "Zeros", "config": {}}},
             "inbound_nodes": [{"args": [{"class_name": "__keras_tensor__", "config": HISTORY}],
                                "kwargs": {}}]},
        ],
        "input_layers": ["in", 0, 0],
        "output_layers": ["a", 0, 0],
    },
    "compile_config": {
        "loss": {"module": "builtins", "class_name": "function", "config": "mean_squared_error"},
        "optimizer": {"module": "keras.optimizers", "class_name": "SGD", "config": {"learning_rate": 0.5}},
    },
}  # fmt: skip
OLD: dict[str, Any] = {
    "class_name": "Sequential",
    "config": {"layers": [{"class_name": "Dense", "config": {"name": "a", "units": 2, "trainable": True,
                                                             "batch_input_shape": [None, 4]}}]},
}  # fmt: skip

FOREIGN = (
    ("os", "system"), ("builtins", "eval"), ("builtins", "exec"), ("builtins", "object"),
    ("subprocess", "Popen"),
    ("keras.src.saving.saving_lib", "load_model"), ("keras.saving", "load_model"), ("keras.layers", "Lambda"),
    ("keras.layers", "TFSMLayer"), ("keras.layers", "TorchModuleWrapper"), ("keras.layers", "JaxLayer"),
    ("keras.utils", "get_file"), ("keras.src.utils.python_utils", "func_load"), ("keras", "utils"),
    ("keras.src.ops.core", "Map"), ("saver", "dump"), ("tests>x", "y"), ("a b", "c"), ("", ""),
    (None, "Popen"),
    (None, "__lambda__"), (None, "__typespec__"), ("builtins", "function"), (7, "x"), ("keras.layers", 7),
    ("keras.layers", None), ("keras.layers", ["Dense"]),
)  # fmt: skip


def weights() -> bytes:
    held = io.BytesIO()
    with h5py.File(held, "w") as file:
        file["layers/dense/vars/0"] = np.ones((4, 2), "f4")
        file["layers/dense/vars/1"] = np.zeros(2, "f4")
        file["optimizer/vars/0"] = np.int64(3)
        file["optimizer/vars/1"] = np.float32(0.5)
    return held.getvalue()


def entries(**changed: Any) -> dict[str, bytes]:
    found = {"metadata.json": b'{"keras_version": "3.15.1"}', "config.json": json.dumps(CONFIG).encode(),
             "model.weights.h5": weights()}  # fmt: skip
    return found | {name.replace("_", "."): data for name, data in changed.items()}


def archive(path: Path, found: dict[str, bytes], **options: Any) -> Path:
    with zipfile.ZipFile(path, "w", **options) as made:
        for name, data in found.items():
            made.writestr(name, data)
    return path


def whole(path: Path, config: Any = OLD, change: Callable[[Any], Any] = lambda file: None) -> Path:
    """An older file of a whole model."""
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps(config)
        file.attrs["keras_version"] = "2.15.0"
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = [b"a"]
        group.create_group("a").attrs["weight_names"] = [b"a/kernel:0", b"a/bias:0"]
        group["a/a/kernel:0"] = np.ones((4, 2), "f4")
        group["a/a/bias:0"] = np.zeros(2, "f4")
        change(file)
    return path


def objects(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        if "class_name" in value:
            yield value
        for item in value.values():
            yield from objects(item)
    elif isinstance(value, list):
        for item in value:
            yield from objects(item)


def asks(path: Path) -> tuple[str, ...]:
    """What a file would need trust in; raises what opening it raises."""
    return saver.describe(path).untrusted


def test_the_files_themselves_are_read(tmp_path: Path) -> None:
    assert asks(archive(tmp_path / "a.keras", entries())) == ()
    assert asks(whole(tmp_path / "a.h5")) == ()
    (tmp_path / "b.json").write_text(json.dumps(CONFIG))
    (tmp_path / "b.weights.h5").write_bytes(weights())
    assert asks(tmp_path / "b.json") == ()
    for name in ("a.keras", "a.h5", "b.json"):
        saver.verify(tmp_path / name)


@pytest.mark.parametrize("at", range(len(list(objects(CONFIG)))))
def test_every_name_is_one_that_was_reviewed_or_asks_for_trust(at: int, tmp_path: Path) -> None:
    for module, name in FOREIGN:
        config = copy.deepcopy(CONFIG)
        list(objects(config))[at].update(module=module, class_name=name)
        archive(tmp_path / "a.keras", entries(config_json=json.dumps(config).encode()))
        try:
            found = asks(tmp_path / "a.keras")
        except IncompatibleError:
            continue
        known = (module, name) == ("builtins", "function") and at == len(list(objects(CONFIG))) - 2
        assert known or found, (module, name)
        assert not any(each.startswith(("keras.", "saver.")) for each in found)
        if not known:
            with pytest.raises(UntrustedError):
                saver.load(tmp_path / "a.keras")


@pytest.mark.parametrize("at", range(len(list(objects(OLD)))))
def test_every_name_of_an_older_file_is_reviewed_or_asks_for_trust(at: int, tmp_path: Path) -> None:
    for module, name in FOREIGN:
        config = copy.deepcopy(OLD)
        list(objects(config))[at].update(class_name=name, **({} if module is None else {"module": module}))
        try:
            found = asks(whole(tmp_path / "a.h5", config))
        except IncompatibleError:
            continue
        assert found, (module, name)
        with pytest.raises(UntrustedError):
            saver.load(tmp_path / "a.h5")


@pytest.mark.parametrize("at", range(len(list(objects(CONFIG)))))
def test_a_registered_name_leads_nowhere(at: int, tmp_path: Path) -> None:
    config = copy.deepcopy(CONFIG)
    list(objects(config))[at]["registered_name"] = "os>system"
    assert asks(archive(tmp_path / "a.keras", entries(config_json=json.dumps(config).encode()))) == ()


def test_what_a_file_names_is_not_imported(tmp_path: Path) -> None:
    (tmp_path / "trap.py").write_text("raise SystemExit(7)")
    config = copy.deepcopy(CONFIG)
    list(objects(config))[2].update(module="trap", class_name="Layer")
    archive(tmp_path / "a.keras", entries(config_json=json.dumps(config).encode()))
    program = "import saver; saver.describe('a.keras'); saver.verify('a.keras')"
    program += "; import sys; assert not {'trap', 'keras', 'tensorflow'} & {*sys.modules}"
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with pytest.raises(UntrustedError, match="trap"):
        saver.load(tmp_path / "a.keras")


def layer(name: str, module: str | None = "keras.layers", **config: Any) -> dict[str, Any]:
    return {"module": module, "class_name": name, "config": config}


LISTS: dict[str, tuple[dict[str, Any], str]] = {
    "a path for a vocabulary": (layer("StringLookup", vocabulary="/etc/passwd"), "not the path of a file"),
    "a path for weights": (layer("TextVectorization", idf_weights="/etc/passwd"), "not the path of a file"),
    "too many classes": (layer("MeanIoU", "keras.metrics", num_classes=1 << 30), "Saver admits"),
    "a pattern that takes long": (
        layer("OptimizerMap", "keras.optimizers", optimizer_map={"(a+)+b": None}), "very long to match",
    ),
    "a call without a tensor": (
        {**layer("Dense"), "inbound_nodes": [{"args": [1], "kwargs": {}}]}, "without a tensor of its model",
    ),
    "calls that are a number": ({**layer("Dense"), "inbound_nodes": 1}, "without a tensor of its model"),
    "unknown fields": ({**layer("Dense"), "args": []}, "has the fields"),
    "unknown fields of a class of one's own": ({**layer("Net", "mine"), "args": []}, "has the fields"),
    "no settings": ({"module": "keras.layers", "class_name": "Dense"}, "has the fields"),
    "settings that are a list": ({**layer("Dense"), "config": []}, "not a JSON object"),
    "a reserved key": (layer("Dense", **{"$": 1}), "there is the key"),
    "a value that is a list": ({**layer("__tensor__", None), "config": []}, "not a JSON object"),
    "numbers of another dtype": (layer("__numpy__", None, value=[1], dtype="object"), "has the dtype"),
    "bytes that are numbers": (layer("__bytes__", None, value=[1]), "not a text"),
    "a tensor of a huge shape": (
        layer("__keras_tensor__", None, shape=[1 << 60], dtype="float32", keras_history=["a", 0, 0]), "shape",
    ),
    "a tensor without history": (
        layer("__keras_tensor__", None, shape=[None], dtype="float32", keras_history=["a"]), "no history",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LISTS)
def test_settings_that_reach_further_are_refused(name: str, tmp_path: Path) -> None:
    config = copy.deepcopy(CONFIG)
    added, why = LISTS[name]
    config["config"]["layers"].append(added)
    with pytest.raises(IncompatibleError, match=why):
        asks(archive(tmp_path / "a.keras", entries(config_json=json.dumps(config).encode())))


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b"null", b'{"a": 1, "a": 2}', b"\xff", b"[" * 100_000,
                                  b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
                                  b'{"class_name": 1, "config": {}}',
                                  b'{"class_name": "Sequential", "config": ' + b'{"config": ' * 2000 + b"1"
                                  + b"}" * 2001], ids=range(10))  # fmt: skip
def test_invalid_configurations_are_refused(text: bytes, tmp_path: Path) -> None:
    with pytest.raises(SaverError):
        asks(archive(tmp_path / "a.keras", entries(config_json=text)))
    with pytest.raises(SaverError):
        asks(whole(tmp_path / "a.h5", None, lambda file: file.attrs.modify("model_config", np.bytes_(text))))


def test_members_of_an_archive_are_those_of_keras(tmp_path: Path) -> None:
    good = entries()
    for name in good:
        with pytest.raises(SaverError):
            asks(archive(tmp_path / "a.keras", {key: data for key, data in good.items() if key != name}))
        with (
            zipfile.ZipFile(archive(tmp_path / "b.keras", good), "a") as made,
            pytest.warns(UserWarning, match="Duplicate"),
        ):
            made.writestr(name, good[name])
        with pytest.raises(IncompatibleError, match="same name"):
            asks(tmp_path / "b.keras")
    for name in ("../x", "/x", "assets/../x", "x.py", "assets/layers/a/code.py", "data.pkl",
                 "model.weights.npz", "assets\\x", "evil/data.pkl"):  # fmt: skip
        with pytest.raises(IncompatibleError):
            asks(archive(tmp_path / "c.keras", good | {name: b"x"}))
    with pytest.raises(IncompatibleError, match="UTF-8"):
        asks(archive(tmp_path / "d.keras", good | {"assets/layers/a/vocabulary.txt": b"\xff"}))


def test_links_in_an_archive_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(archive(tmp_path / "a.keras", entries()), "a") as made:
        link = zipfile.ZipInfo("assets/a/vocabulary.txt")
        link.external_attr = 0o120777 << 16
        made.writestr(link, "/etc/passwd")
    with pytest.raises(IncompatibleError, match="is a link"):
        asks(tmp_path / "a.keras")


def test_an_archive_does_not_unpack_to_far_more_than_it_is(tmp_path: Path) -> None:
    bomb = entries(config_json=b" " * (300 << 20) + json.dumps(CONFIG).encode())
    with pytest.raises(SaverError, match="unpacks to more"):
        asks(archive(tmp_path / "a.keras", bomb, compression=zipfile.ZIP_DEFLATED))
    data = archive(tmp_path / "b.keras", entries(), compression=zipfile.ZIP_DEFLATED).read_bytes()
    at = data.index(b"PK\x01\x02")
    for place in (at + 24, data.index(b"PK\x03\x04") + 22):
        data = data[:place] + struct.pack("<I", 1 << 30) + data[place + 4 :]
    (tmp_path / "b.keras").write_bytes(data)
    with pytest.raises(SaverError):
        asks(tmp_path / "b.keras")


def link(file: Any) -> None:
    file["layers/dense/vars/2"] = h5py.ExternalLink("secret.h5", "/x")


def soft(file: Any) -> None:
    file["layers/dense/vars/2"] = h5py.SoftLink("/layers/dense/vars/0")


def outside(file: Any) -> None:
    file.create_dataset("layers/dense/vars/2", (4,), "u1", external=[("/etc/passwd", 0, 4)])


def empty(file: Any) -> None:
    file.create_dataset("layers/dense/vars/2", (1 << 40,), "f4", chunks=(1 << 10,), compression="gzip")


def elsewhere(file: Any) -> None:
    file["layers/dense/2"] = np.ones(3)


def texts(file: Any) -> None:
    file["layers/dense/vars/2"] = ["a"]


def records(file: Any) -> None:
    file["layers/dense/vars/2"] = np.zeros(2, [("a", "f4")])


def unnumbered(file: Any) -> None:
    file["optimizer/vars/7"] = np.ones(3)


def big_endian(file: Any) -> None:
    file["layers/dense/vars/2"] = np.ones(3, ">f4")


def not_boolean(file: Any) -> None:
    made = file.create_dataset("layers/dense/vars/2", data=np.array([True]))
    made.id.write(h5py.h5s.ALL, h5py.h5s.ALL, np.array([7], "i1"), made.id.get_type())


@pytest.mark.parametrize("change", [link, soft, outside, empty, elsewhere, texts, records, unnumbered,
                                    big_endian, not_boolean])  # fmt: skip
def test_weights_lead_nowhere_and_are_what_is_stored(change: Callable[[Any], None], tmp_path: Path) -> None:
    held = io.BytesIO(weights())
    with h5py.File(held, "a") as file:
        change(file)
    with pytest.raises(IncompatibleError):
        asks(archive(tmp_path / "a.keras", entries(model_weights_h5=held.getvalue())))
    (tmp_path / "b.json").write_text(json.dumps(CONFIG))
    (tmp_path / "b.weights.h5").write_bytes(held.getvalue())
    with pytest.raises(IncompatibleError):
        asks(tmp_path / "b.json")


def many(file: Any) -> None:
    """Thousands of names, each of which could be the largest text in the file."""
    names = np.array(["a"] * 3900 + ["x" * (4 << 20)], object)
    file["model_weights/a"].attrs.create("weight_names", names, dtype=h5py.string_dtype())


OLDER: dict[str, Callable[[Any], Any]] = {
    "texts that may be one large text": many,
    "numbers for names": lambda file: file["model_weights"].attrs.create("layer_names", np.arange(3)),
    "a table of names": lambda file: file["model_weights"].attrs.create("layer_names", np.array([[b"a"]])),
    "a layer that is a link": lambda file: file.__setitem__("model_weights/b", h5py.SoftLink("/")),
    "a variable that is missing": lambda file: file["model_weights/a"].attrs.create("weight_names", [b"c"]),
    "no weights": lambda file: file.__delitem__("model_weights"),
    "invalid settings": lambda file: file.attrs.create("training_config", np.bytes_(b"[")),
    "an invalid optimizer": lambda file: file.attrs.create(
        "training_config", np.bytes_(b'{"optimizer_config": {"class_name": [], "config": 3}}')
    ),
    "a configuration of numbers": lambda file: file.attrs.create("model_config", 3),
}


@pytest.mark.parametrize("name", OLDER)
def test_attributes_of_an_older_file_are_texts_that_it_has(name: str, tmp_path: Path) -> None:
    with pytest.raises(SaverError):
        asks(whole(tmp_path / "a.h5", OLD, OLDER[name]))


def test_a_configuration_beside_no_weights_is_refused(tmp_path: Path) -> None:
    (tmp_path / "b.json").write_text(json.dumps(CONFIG))
    with pytest.raises(IncompatibleError, match=r"b\.weights\.h5"):
        asks(tmp_path / "b.json")


def changed(good: bytes, rng: random.Random) -> Iterator[bytes]:
    for _ in range(MUTANTS):
        data = bytearray(good)
        for _ in range(rng.choice((1, 1, 2, 8))):
            at, width = rng.randrange(len(data)), rng.choice((1, 1, 4, 8))
            data[at : at + width] = rng.choice((b"\xff" * width, bytes(width), rng.randbytes(width), b""))
        yield bytes(data)


@pytest.mark.shows("Keras", "hostile files tried")
@pytest.mark.parametrize("name", ["a.keras", "z.keras", "a.h5", "b.json", "b.weights.h5"])
def test_a_changed_or_cut_file_is_an_error_of_saver_or_a_model(name: str, tmp_path: Path) -> None:
    archive(tmp_path / "a.keras", entries())
    archive(tmp_path / "z.keras", entries(), compression=zipfile.ZIP_DEFLATED)
    whole(tmp_path / "a.h5")
    (tmp_path / "b.json").write_text(json.dumps(CONFIG))
    (tmp_path / "b.weights.h5").write_bytes(weights())
    opened = tmp_path / ("b.json" if name[0] == "b" else name)
    good, refused = (tmp_path / name).read_bytes(), 0
    cuts = (good[:end] for end in range(0, len(good), max(1, len(good) // 60)))
    for data in (*changed(good, random.Random(name)), *cuts):
        (tmp_path / name).write_bytes(data)
        try:
            saver.verify(opened)
        except SaverError:
            refused += 1
    assert refused > 60
