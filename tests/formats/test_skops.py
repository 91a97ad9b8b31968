"""Files of skops are read without importing what they name, and hostile ones are refused."""

from __future__ import annotations

import io
import json
import random
import zipfile
from collections import OrderedDict, defaultdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import saver
from saver.errors import DamagedError, IncompatibleError, LimitExceededError, SaverError, UntrustedError
from saver.opening import open_file
from saver.storages.memory import MemoryStorage

MUTANTS = 300


def schema(content: Any, **entries: bytes) -> bytes:
    """A file whose schema says this."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in entries.items():
            archive.writestr(name.replace("_", "."), data)
        archive.writestr("schema.json", json.dumps({"protocol": 2, "_skops_version": "0.16", **content}))
    return file.getvalue()


def node(loader: str, name: str = "builtins.object", **more: Any) -> dict[str, Any]:
    module, _, cls = name.rpartition(".")
    return {"__class__": cls, "__module__": module, "__loader__": loader, **more}


def literal(value: Any) -> dict[str, Any]:
    return node("JsonNode", "builtins.str", content=json.dumps(value), is_json=True)


def listed(*items: Any) -> dict[str, Any]:
    return node("ListNode", "builtins.list", content=list(items))


def npy(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


def test_a_schema_becomes_a_value(tmp_path: Path) -> None:
    array = node("NdArrayNode", "numpy.ndarray", type="numpy", file="a.npy", __id__=7)
    (tmp_path / "a.skops").write_bytes(
        schema(listed(literal(1.5), literal("x"), array, array), a_npy=npy(np.arange(3)))
    )
    found = saver.load(tmp_path / "a.skops")
    assert found[:2] == [1.5, "x"]
    assert found[2] is found[3]
    assert np.array_equal(found[2], np.arange(3))
    assert open_file(tmp_path / "a.skops").manifest.environment["imported from"] == "a file of skops 0.16"


VALUES: dict[str, Any] = {
    "numbers": [1, 2.5, -3, True, None, "ü", float("nan"), float("inf"), 1 << 70],
    "containers": {"a": (1, [2]), "b": {3, 4}, "c": {1: "x", 2.5: "y", None: 0}},
    "bytes": [b"ab", bytearray(b"cd"), slice(1, None, 2)],
    "ordered": OrderedDict(b=1, a=2),
    "default": defaultdict(list, a=[1]),
    "arrays": [
        np.arange(6.0).reshape(2, 3), np.asfortranarray(np.ones((2, 3))), np.zeros((0, 3)), np.array(["ü"]),
    ],
    "scalars": [np.float32(0.5), np.int64(3), np.bool_(True), np.array(2.0)],
    "objects": np.array([["a", 1], [None, 2.5]], dtype=object),
    "dtypes": [np.dtype("f4"), np.dtype(">i2"), np.float64],
    "functions": [np.log1p, np.exp],
    "partial": partial(np.mean, axis=0),
    "masked": np.ma.MaskedArray([1.0, 2.0], [True, False]),
}  # fmt: skip


@pytest.mark.parametrize("name", VALUES)
def test_what_skops_saves_comes_back(name: str, tmp_path: Path) -> None:
    skops = pytest.importorskip("skops.io")
    value = VALUES[name]
    skops.dump(value, tmp_path / "a.skops")
    found = saver.load(tmp_path / "a.skops")
    assert type(found) is type(value)
    assert repr(found) == repr(value)


def test_random_generators_go_on_where_they_were(tmp_path: Path) -> None:
    skops = pytest.importorskip("skops.io")
    state, generator = np.random.RandomState(3), np.random.default_rng(4)
    state.normal(), generator.normal()
    skops.dump([state, generator], tmp_path / "a.skops")
    found = saver.load(tmp_path / "a.skops")
    assert found[0].normal() == state.normal()
    assert found[1].normal() == generator.normal()


def test_sparse_matrices_come_back(tmp_path: Path) -> None:
    skops, sparse = pytest.importorskip("skops.io"), pytest.importorskip("scipy.sparse")
    dense = np.arange(12.0).reshape(3, 4) % 3
    kinds = ("csr_matrix", "csc_matrix", "coo_matrix", "bsr_matrix", "dia_matrix", "csr_array", "coo_array")
    given = [getattr(sparse, kind)(dense) for kind in kinds]
    skops.dump(given, tmp_path / "a.skops")
    found = saver.load(tmp_path / "a.skops")
    assert [type(each).__name__ for each in found] == list(kinds)
    assert all(np.array_equal(each.toarray(), dense) for each in found)


OTHERS = {"DummyClassifier", "FeatureHasher", "HashingVectorizer", "PatchExtractor"}
"""Estimators that draw random numbers, or take other data."""


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_every_estimator_that_skops_saves_predicts_what_it_did(tmp_path: Path) -> None:
    skops, utils = pytest.importorskip("skops.io"), pytest.importorskip("sklearn.utils")
    make = pytest.importorskip("sklearn.datasets").make_classification
    path, (x, y), tried, refused = tmp_path / "a.skops", make(60, 6, random_state=0), 0, set()
    for name, kind in utils.all_estimators():
        try:
            skops.dump(kind().fit(np.abs(x), y), path)
            expected = skops.load(path, trusted=skops.get_untrusted_types(file=path))
        except Exception:  # skops, or the estimator, cannot do that
            continue
        tried += 1
        try:
            found = saver.load(path)
        except SaverError:
            refused.add(name)
            continue
        for method in ("predict_proba", "decision_function", "transform", "predict"):
            if hasattr(expected, method) and name not in OTHERS:
                results = [getattr(each, method)(np.abs(x)) for each in (expected, found)]
                dense = [each.toarray() if hasattr(each, "toarray") else each for each in results]
                np.testing.assert_array_equal(*dense, err_msg=f"{name}.{method}")
    assert tried > 150
    assert refused == set()


def test_a_file_is_imported_and_not_taken_for_an_archive_of_numpy(tmp_path: Path) -> None:
    skops, linear = pytest.importorskip("skops.io"), pytest.importorskip("sklearn.linear_model")
    x = np.random.default_rng(0).normal(size=(40, 3))
    model = linear.LogisticRegression().fit(x, x[:, 0] > 0)
    skops.dump(model, tmp_path / "model.bin")
    store = saver.Saver(MemoryStorage())
    store.import_(tmp_path / "model.bin", "m")
    assert np.array_equal(store.load("m").predict_proba(x), model.predict_proba(x))
    assert "sklearn" in str(store.describe("m"))


def tupled(*items: Any) -> dict[str, Any]:
    return node("TupleNode", "builtins.tuple", content=list(items))


def mapped(items: dict[str, Any], *kinds: str) -> dict[str, Any]:
    types = listed(*(node("TypeNode", kind) for kind in kinds))
    return node("DictNode", "builtins.dict", content=items, key_types=types)


ARRAY = "numpy.ndarray"
SYSTEM = node("TypeNode", "os.system")
PARTIAL = {"func": SYSTEM, "args": tupled(), "kwds": mapped({}), "namespace": literal(None)}
REFUSED: dict[str, tuple[Any, str]] = {
    "functions": (
        listed(node("FunctionNode", "os.system"), node("TypeNode", "subprocess.Popen")),
        "os.system.*subprocess.Popen",
    ),
    "calls": (
        node("ConstructorFromReduceNode", "builtins.eval", content=tupled(literal("1"))),
        r"builtins.eval\('1'\)",
    ),
    "operators": (
        node("OperatorFuncNode", "operator.methodcaller", attrs=tupled(literal("f"))),
        "operator.methodcaller",
    ),
    "methods": (node("MethodNode", "os.path", content={"func": "join", "obj": literal(1)}), "os.path.join"),
    "partials": (node("PartialNode", "functools.partial", content=PARTIAL), "os.system"),
    "losses": (node("LossNode", "os.system", __reduce__={"args": tupled(literal("x"))}), "os.system"),
    "generators": (
        node(
            "RandomGeneratorNode", "numpy.random.Generator",
            content={"bit_generator": mapped({"bit_generator": literal("seed")}, "builtins.str")},
        ),
        "not a bit generator",
    ),
    "unknown nodes": (node("EvilNode"), "EvilNode"),
    "no class": ({"__loader__": "ObjectNode"}, "lacks"),
    "no content": (node("ListNode", "builtins.list"), "lacks"),
    "a list as literal": (node("JsonNode", content="[1]"), "literal"),
    "a huge integer": (node("JsonNode", content="9" * 10_000), "lacks"),
    "a path": (node("NdArrayNode", ARRAY, type="numpy", file="../../etc/passwd"), "missing"),
    "no protocol": ({**listed(), "protocol": True}, "protocol"),
    "a newer protocol": ({**listed(), "protocol": 3}, "protocol"),
    "keys without types": (mapped({"a": literal(1)}), "no types"),
    "keys of a type": (mapped({"a": literal(1)}, "os.system"), "os.system"),
    "keys of another library": (mapped({"1": literal(1)}, "mine.int64"), r"of the type mine\.int64"),
    "a name that is a number": ({"__loader__": "TypeNode", "__module__": 7, "__class__": "x"}, "names no"),
    "no name": ({"__loader__": "TypeNode", "__module__": "", "__class__": ""}, "names no class"),
    "a long name": (node("TypeNode", f"mine.{'x' * 600}"), "names no class"),
    "a slice of texts": (
        node("SliceNode", "builtins.slice", content={"start": "a", "stop": 1, "step": None}), "three numbers",
    ),
    "rows of other lengths": (
        node("NdArrayNode", ARRAY, type="json", shape=tupled(literal(2), literal(2)),
             content=[listed(*map(literal, (1, 2, 3))), listed(literal(4))]),
        "other rows than its shape says",
    ),
    "a dtype with fields": (
        node("DTypeNode", "numpy.dtype", content=node("NdArrayNode", ARRAY, type="numpy", file="fields.npy")),
        "does not read there",
    ),
    "a mask of another shape": (
        node("MaskedArrayNode", "numpy.ma.MaskedArray",
             content={name: node("NdArrayNode", ARRAY, type="numpy", file=f"{name}.npy")
                      for name in ("data", "mask")}),
        "no mask of its shape",
    ),
    "a shape of objects": (
        node("NdArrayNode", ARRAY, type="json", shape=tupled(literal(9)), content=[]), "elements",
    ),
    "a tree": (
        node("TreeNode", "sklearn.tree._tree.Tree", __reduce__={"args": tupled()}, content=literal(None)),
        "a tree does not say",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_forged_is_refused(name: str, tmp_path: Path) -> None:
    content, message = REFUSED[name]
    arrays = {
        "fields_npy": npy(np.zeros(0, [("a", "i4"), ("b", "f4")])),
        "data_npy": npy(np.zeros(3)),
        "mask_npy": npy(np.zeros((1, 3), bool)),
    }
    (tmp_path / "a.skops").write_bytes(schema(content, **arrays))
    with pytest.raises(IncompatibleError, match=message):
        saver.load(tmp_path / "a.skops")


def test_own_classes_take_trust(tmp_path: Path) -> None:
    (tmp_path / "a.skops").write_bytes(schema(node("ObjectNode", "mine.models.Net", content=None)))
    with pytest.raises(UntrustedError, match=r"mine\.models\.Net"):
        saver.load(tmp_path / "a.skops")


def test_a_changed_number_is_damage(tmp_path: Path) -> None:
    data = schema(node("NdArrayNode", ARRAY, type="numpy", file="a.npy"), a_npy=npy(np.full(9, 7.0)))
    at = data.index(np.float64(7.0).tobytes())
    (tmp_path / "a.skops").write_bytes(data[:at] + b"\1" + data[at + 1 :])
    with pytest.raises(DamagedError, match=r"a\.npy"):
        saver.load(tmp_path / "a.skops")


def test_deep_schemas_are_refused(tmp_path: Path) -> None:
    for depth in (140, 160, 250, 100_000):
        text = (
            '{"__loader__":"ListNode","__class__":"list","__module__":"builtins","content":[' * depth
            + "]}" * depth
        )
        text = '{"protocol":2,' + text[1:]
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("schema.json", text)
        (tmp_path / "a.skops").write_bytes(file.getvalue())
        if depth < 150:
            saver.load(tmp_path / "a.skops")
        else:
            with pytest.raises(IncompatibleError, match="deep"):
                saver.load(tmp_path / "a.skops")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_archives_that_trick_readers_are_refused(tmp_path: Path) -> None:
    array = node("NdArrayNode", "numpy.ndarray", type="numpy", file="a.npy")
    text = json.dumps({"protocol": 2, **array})
    tricks = {
        "twice": "same name|twice", "bomb": "unpack", "object": "object",
        "short": "its shape needs", "long": "its shape needs",
    }  # fmt: skip
    for trick, why in tricks.items():
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            data = npy(np.zeros(3))
            if trick == "twice":
                archive.writestr("a.npy", data)
            if trick == "bomb":
                data = npy(np.zeros(300 << 20, np.uint8))
            if trick == "object":
                data = npy(np.array([{}], dtype=object))
            changed = {"short": data[:-1], "long": data + bytes(8)}
            archive.writestr("a.npy", changed.get(trick, data))
            archive.writestr("schema.json", text)
        (tmp_path / "a.skops").write_bytes(file.getvalue())
        with pytest.raises((IncompatibleError, LimitExceededError), match=why):
            saver.load(tmp_path / "a.skops")


def sample() -> bytes:
    sklearn = pytest.importorskip("sklearn")
    array = node("NdArrayNode", ARRAY, type="numpy", file="a.npy")
    items = {"mean_": array, "_sklearn_version": literal(sklearn.__version__)}
    state = mapped(items, "builtins.str", "builtins.str")
    scaler = node("ObjectNode", "sklearn.preprocessing._data.StandardScaler", content=state)
    return schema(scaler, a_npy=npy(np.ones(3)))


@pytest.mark.slow
@pytest.mark.shows("skops", "load", "hostile files tried")
def test_every_byte_that_is_changed_and_every_cut_is_an_error_of_saver_or_an_object(
    tmp_path: Path, record_property: Any
) -> None:
    good, path, refused, tried, rng = sample(), tmp_path / "a.skops", 0, 0, random.Random(1)
    path.write_bytes(good)
    saver.load(path)
    for data in (
        *(
            good[:at] + bytes([good[at] ^ bit]) + good[at + 1 :]
            for at in range(len(good))
            for bit in (1, 0x80)
        ),
        *(good[:at] for at in range(len(good))),
        *(good[:at] + rng.randbytes(9) + good[at:] for at in rng.sample(range(len(good)), MUTANTS)),
    ):
        path.write_bytes(data)
        tried += 1
        try:
            saver.load(path)
        except SaverError:
            refused += 1
    record_property("hostile files", tried)
    assert refused > tried * 0.9


@pytest.mark.slow
@pytest.mark.shows("skops", "save")
def test_what_is_written_loads_in_skops_and_predicts_the_same(tmp_path: Path) -> None:
    skops, ensemble = pytest.importorskip("skops.io"), pytest.importorskip("sklearn.ensemble")
    pipeline, scaling = pytest.importorskip("sklearn.pipeline"), pytest.importorskip("sklearn.preprocessing")
    x = np.random.default_rng(0).normal(size=(60, 4))
    forest = ensemble.RandomForestClassifier(5, random_state=0)
    fitted = pipeline.make_pipeline(scaling.StandardScaler(), forest).fit(x, x[:, 0] > 0)
    saver.dump({"model": fitted, "n": 1}, tmp_path / "m.saver")
    with pytest.raises(IncompatibleError, match="choose its part"):
        saver.export(tmp_path / "m.saver", tmp_path / "m.skops")
    found = saver.export(tmp_path / "m.saver", tmp_path / "m.skops", parts=["model"])
    assert (found.format, found.losses) == ("skops", ())
    trusted = skops.get_untrusted_types(file=tmp_path / "m.skops")
    assert set(trusted) <= {"sklearn.tree._tree.Tree"}
    judged = skops.load(tmp_path / "m.skops", trusted=trusted)
    assert np.array_equal(judged.predict_proba(x), fitted.predict_proba(x))
    assert np.array_equal(saver.load(tmp_path / "m.skops").predict_proba(x), fitted.predict_proba(x))


def test_what_skops_cannot_write_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    pytest.importorskip("skops.io")
    cluster = pytest.importorskip("sklearn.cluster")
    birch = cluster.Birch().fit(np.random.default_rng(0).normal(size=(20, 2)))
    saver.dump(birch, tmp_path / "m.saver")
    with pytest.raises(IncompatibleError, match="skops cannot write it"):
        saver.export(tmp_path / "m.saver", tmp_path / "m.skops")
    assert not (tmp_path / "m.skops").exists()
