"""A bad argument is a ValueError or TypeError that names it, at every door."""

from __future__ import annotations

import inspect
import signal
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import saver
from saver.errors import CannotSaveError, SaverError

PATHS = [3, None, "", "a\0b", ["a"], b"a", "\ud800"]
REFS = [3, None, b"iris", "", "a b", "iris@@", "iris@0", "../iris", ["iris"]]
NAMES = [3, [3], b"abc", None]
CALLBACKS = [3, "print"]
FLAGS = [1, "no", None]
LIMITS = ["much", 0, -1, 1.5, []]
MODELS = [3, None, b"iris", "", "a b", "../iris", "iris@1"]
TRANSFERS = {
    "model": [each for each in MODELS if each is not None], "history": FLAGS, "tags": FLAGS,
    "progress": CALLBACKS,
}  # fmt: skip
TAGS = [3, None, b"best", "", "a b", "latest", "7"]
GROUPS = [3, None, b"iris/", "iris", "a b/", "/"]
AUTHORS = [3, b"ann", "", "a\nb", "x" * 201]
LABELS = [3, "a=b", [("a", "b")], {"a b": "c"}, {"a": ""}, {"a": True}, {"a": [3]}, {3: "a"}]
NOTES = [3, None, b"x", "x" * 10_001, "\ud800"]
WHOLE = ["x", 1.5, -1]
TRUSTS = [3, [3], b"abc", True, int, [int]]
CLUSTERS = [3, b"torch", "", "nothing", "memory", "storage", "../torch"]
CLASSES = [3, [3], "a.B", {1: int}, {"a.B": 3}]


KEYS: list[Any] = [3, [3], "", "a\0b", b"no key", b""]
"""What is not a key, nor a list of keys."""
HOLDERS: list[Any] = [3, [3], "", b"a"]
"""What does not name a key that opens something."""
TO: list[Any] = [3, [3], [], b"a", ["AGE-SECRET-KEY-1"]]
"""What names nobody for whom a file is sealed."""


class With(NamedTuple):
    """A value that is tried together with other arguments."""

    value: Any
    others: dict[str, Any]


class Door(NamedTuple):
    """A public callable, arguments that are good, and for each parameter values that are not."""

    call: Callable[..., Any]
    good: dict[str, Any]
    bad: dict[str, list[Any]]
    free: tuple[str, ...] = ()
    """Parameters that take anything."""


def doubled(parts: Any, batch: Any) -> Any:
    return {"doubled": batch * 2}


@pytest.fixture
def store(tmp_path: Path) -> saver.Saver:
    found = saver.Saver(tmp_path / "models")
    found.save("iris", {"a": [1, 2]}, tags=["best"])
    return found


@cache
def _identity() -> Any:
    from saver.keys import age

    return age.new_identity()


def _doors(store: saver.Saver, folder: Path) -> dict[str, Door]:
    pytest.importorskip("cryptography")
    from signed import private, public

    key = private("alice")
    pytest.importorskip("pyrage")
    from saver.keys import age

    ada = _identity()

    sealed_store = saver.Saver("memory://sealed", key=ada.reveal, author="ada")
    sealed_store.create()
    other = age.new_identity().public
    if "bob" not in (each.name for each in sealed_store.holders().holders):
        sealed_store.add_holder(age.new_identity().public, "bob")
    if not saver.Saver("memory://granted").exists():
        saver.Saver("memory://granted").save("iris", [1])
    file = folder / "a.saver"
    saver.dump({"a": [1, 2]}, file)
    loading: dict[str, list[Any]] = {
        "parts": [3, [3], b"abc"], "trust": TRUSTS, "classes": CLASSES,
        "lazy": FLAGS, "writable": FLAGS, "device": [3, "", "a b", []],
        "limit": LIMITS, "progress": CALLBACKS, "signed_by": [*KEYS, []],
        "check_predictions": FLAGS,
    }  # fmt: skip
    of_files = {"key": HOLDERS}
    restoring: dict[str, list[Any]] = {
        "into": [None], "strict": FLAGS, "names": [3, "x", {3: "a"}, {"a": 3}], "trust": TRUSTS,
        "classes": CLASSES, "limit": LIMITS, "progress": CALLBACKS, "signed_by": [*KEYS, []],
    }  # fmt: skip
    ref: dict[str, Any] = {"ref": "iris@1"}
    bad_ref: dict[str, list[Any]] = {"ref": REFS}
    choosing: dict[str, list[Any]] = {
        "model": MODELS, "last": [*WHOLE, True],
        "where": [3, b"a", "", "a >"], "sort": [3, b"a", "", "best:"],
    }  # fmt: skip
    examples: dict[str, list[Any]] = {"example": [object(), 3], "pipeline": [3, "model"]}
    predicting = saver.Saver("memory://predicting")
    if not predicting.exists():
        predicting.save("iris", {"a": [1, 2]}, example=np.zeros((2, 2)), pipeline=doubled)
    predicted = {
        "trust": TRUSTS, "classes": CLASSES, "device": [3, "", "a b", []], "limit": LIMITS,
        "signed_by": [*KEYS, []], **bad_ref,
    }  # fmt: skip
    trusting: dict[str, Any] = {**ref, "trust": ["*"]}
    return {
        "dump": Door(
            saver.dump,
            {"obj": [1], "path": file},
            {"path": PATHS, "compress": FLAGS, "progress": CALLBACKS, "sign": KEYS, "to": TO, **examples},
            ("obj",),
        ),
        "dumps": Door(
            saver.dumps, {"obj": [1]}, {"compress": FLAGS, "sign": KEYS, "to": TO, **examples}, ("obj",)
        ),
        "load": Door(saver.load, {"path": file}, {"path": PATHS, **loading, **of_files}),
        "loads": Door(
            saver.loads,
            {"data": saver.dumps({"a": [1]})},
            {"data": [3, None, "text"], **of_files}
            | {
                name: bad
                for name, bad in loading.items()
                if name not in ("progress", "writable", "check_predictions")
            },
        ),
        "restore": Door(
            saver.restore, {"path": file, "into": {"a": [1]}}, {"path": PATHS, **restoring, **of_files}
        ),
        "diff": Door(
            saver.diff,
            {"a": file, "b": file},
            {"a": PATHS, "b": PATHS, "progress": CALLBACKS, **of_files},
        ),
        "verify": Door(
            saver.verify,
            {"path": file},
            {"path": PATHS, "progress": CALLBACKS, "signed_by": [*KEYS, []], **of_files},
        ),
        "export": Door(
            saver.export,
            {"path": file, "target": folder / "exported.saver"},
            {
                **of_files,
                "to": TO,
                "path": PATHS,
                "target": PATHS,
                "compress": FLAGS,
                "format": [3, "", "nothing"],
                "parts": [3, [3], b"abc"],
                "trust": TRUSTS,
                "classes": CLASSES,
                "limit": LIMITS,
                "progress": CALLBACKS,
            },
            ("example",),
        ),
        "migrate": Door(
            saver.migrate,
            {"folder": folder, "store": store},
            {
                "folder": PATHS,
                "store": [3, None, "", "a\0b", ["a"], b"a"],
                "names": [3, [3], {3: "a"}, {"a": "a b"}, {"a": None}],
                "apart": FLAGS,
                "leave": [3, [3]],
                "dry_run": FLAGS,
                "progress": CALLBACKS,
            },
        ),
        "Keys": Door(saver.Keys, {}, {}, ("sources",)),
        "describe": Door(saver.describe, {"path": file}, {"path": PATHS, **of_files}),
        "register": Door(saver.register, {"cls": None}, {"cls": [3, "saver.Saver", None]}),
        "Saver": Door(
            saver.Saver,
            {"store": folder / "models"},
            {
                "store": [*PATHS, "counting://a", "latency://a", "local://a"],
                "author": AUTHORS,
                "key": HOLDERS,
                "sign": KEYS,
                "trust_file": [each for each in PATHS if each is not None],
                "compress": FLAGS,
                "token": [each for each in PATHS if each is not None],
            },
        ),
        "Saver.save": Door(
            store.save,
            {"model": "iris", "obj": [1]},
            {
                "model": MODELS,
                "step": [*WHOLE, 10**15, True],
                "metrics": [
                    3,
                    "x",
                    [("a", 1)],
                    {3: 1.0},
                    {"": 1.0},
                    {"a\n": 1.0},
                    {"a": "much"},
                    {"a": None},
                ],
                "tags": [3, [3], b"abc", ["a b"], "latest"],
                "labels": [*LABELS, {"a": None}],
                "notes": NOTES,
                "author": AUTHORS,
                "data": [object()],
                **examples,
                "seeds": ["x", 1.5, {3: 1}, {"a": "x"}, True, 1 << 5000],
                "base": [3, [3], None, b"iris", "a b", ["iris", "iris@@"]],
                "cluster": CLUSTERS,
                "per_rank": [3, [3], b"abc", "model"],
                "compare_replicas": [*FLAGS, True],
                "sign": KEYS,
                "compress": FLAGS[:2],
                "progress": CALLBACKS,
                "wait": FLAGS,
            },
            ("obj",),
        ),
        "Saver.schema": Door(predicting.schema, ref, bad_ref),
        "Saver.predictor": Door(predicting.predictor, trusting, {**predicted, "check": FLAGS}),
        "Saver.check_predictions": Door(predicting.check_predictions, trusting, predicted),
        "Saver.holders": Door(sealed_store.holders, {}, {}),
        "Saver.add_holder": Door(
            sealed_store.add_holder,
            {"recipient": other, "name": "eve"},
            {"recipient": [3, None, "", "age1nobody"], "name": [3, b"a", "a\nb"]},
        ),
        "Saver.remove_holder": Door(
            sealed_store.remove_holder, {"holder": "bob"}, {"holder": [3, None, "", b"ada"]}
        ),
        "Saver.rotate": Door(sealed_store.rotate, {}, {"everything": FLAGS, "progress": CALLBACKS}),
        "Saver.create": Door(store.create, {}, {"shared": [3, b"staff", "", "no such group", "-1"]}),
        "Saver.load": Door(store.load, ref, {**bad_ref, **loading}),
        "Saver.restore": Door(
            store.restore,
            {**ref, "into": {"a": [1]}},
            {
                **bad_ref,
                **restoring,
                "cluster": CLUSTERS,
                "per_rank": [3, [3], b"abc", "model"],
                "shared": [3, "", "all", b"read", "read"],
            },
        ),
        "Saver.exists": Door(store.exists, {}, {}),
        "Saver.models": Door(store.models, {}, {"group": GROUPS}),
        "Saver.summaries": Door(store.summaries, {}, {"group": GROUPS}),
        "Saver.summary": Door(store.summary, {"model": "iris"}, {"model": MODELS}),
        "Saver.versions": Door(store.versions, {"model": "iris"}, choosing),
        "Saver.version": Door(store.version, ref, bad_ref),
        "Saver.describe": Door(store.describe, ref, bad_ref),
        "Saver.card": Door(store.card, ref, bad_ref),
        "Saver.history": Door(store.history, {"model": "iris"}, choosing),
        "Saver.log": Door(
            store.log,
            {"ref": "iris"},
            {"ref": [*(r for r in REFS if r is not None), "iris@3..1"], "kinds": [3, [3], "commit", ["x"]]},
        ),
        "Saver.diff": Door(
            store.diff, {"a": "iris", "b": "iris"}, {"a": REFS, "b": REFS, "progress": CALLBACKS}
        ),
        "Saver.tag": Door(store.tag, {**ref, "tag": "best"}, {**bad_ref, "tag": TAGS}),
        "Saver.untag": Door(store.untag, {"model": "iris", "tag": "best"}, {"model": MODELS, "tag": TAGS}),
        "Saver.label": Door(store.label, {**ref, "labels": {"a": "b"}}, {**bad_ref, "labels": LABELS}),
        "Saver.note": Door(store.note, {**ref, "notes": "good"}, {**bad_ref, "notes": NOTES}),
        "Saver.delete": Door(
            lambda refs, **how: store.delete(refs, **how),
            {"refs": "iris@1", "tags": True},
            {"refs": [*REFS, "iris@3..1", "a b@1..3"], "tags": FLAGS, "dry_run": FLAGS},
        ),
        "Saver.prune": Door(
            store.prune,
            {"model": "iris", "keep": saver.Keep(last=1)},
            {"model": MODELS, "keep": [3, None, "all"], "dry_run": FLAGS, "progress": CALLBACKS},
        ),
        "Saver.gc": Door(
            store.gc,
            {},
            {
                "grace": ["x", -1, None, float("nan")],
                "everything": FLAGS,
                "dry_run": FLAGS,
                "progress": CALLBACKS,
            },
        ),
        "Saver.check": Door(store.check, {}, {"progress": CALLBACKS}),
        "Saver.verify": Door(store.verify, ref, {**bad_ref, "progress": CALLBACKS, "signed_by": [*KEYS, []]}),
        "Saver.roles": Door(store.roles, {}, {}),
        "Saver.sign": Door(store.sign, {**ref, "key": key}, {**bad_ref, "key": [*KEYS, None]}),
        "Saver.grant": Door(
            lambda key, rights: saver.Saver("memory://granted", sign=private("alice")).grant(key, *rights),
            {"key": public("alice"), "rights": ("grant",)},
            {"key": [*KEYS, None], "rights": [("load",), (3,), ("tag:",), ("",)]},
        ),
        "Saver.checkpoints": Door(
            store.checkpoints,
            {"model": "run", "objects": {"a": {}}, "every": saver.Every(steps=1)},
            {
                "model": MODELS,
                "objects": [3, [{}], {3: {}}, {"": {}}, {"a/b": {}}],
                "every": [3, None, "steps", saver.Keep(last=1)],
                "keep": [3, "all", saver.Every(steps=1)],
                "busy": ["no", None, 3],
                "staging": ["much", 0, -1, [], True],
                "grace": ["x", -1, None, float("nan")],
                "data": [object()],
                **examples,
                "labels": [*LABELS, {"a": None}],
                "notes": [3, None, "x" * 10_001, "\ud800"],
                "total": ["x", 0, 1.5],
                "progress": [1, "no"],
                "cluster": ["no", 3, object()],
                "per_rank": [3, ["a"], [3]],
                "compare_replicas": [*FLAGS, True],
                "peer_memory": ["much", 0, -1, [], True, "1GB"],
            },
        ),
        "Saver.backup": Door(
            store.backup, {"target": folder / "copy"}, {"target": PATHS, "progress": CALLBACKS}
        ),
        "Saver.push": Door(
            store.push,
            {**ref, "target": folder / "elsewhere"},
            {**bad_ref, "target": PATHS, **TRANSFERS, "to": [3, "", ["age1"], "a.pub"]},
        ),
        "Saver.pull": Door(
            store.pull,
            {**ref, "source": folder / "models", "model": "pulled"},
            {"ref": REFS, "source": PATHS, **TRANSFERS, "key": HOLDERS},
        ),
        "Saver.export": Door(
            store.export,
            {**ref, "path": file},
            {
                "to": TO,
                **bad_ref,
                "path": PATHS,
                "compress": FLAGS,
                "format": [3, "", "nothing"],
                "parts": [3, [3], b"abc"],
                "trust": TRUSTS,
                "classes": CLASSES,
                "limit": LIMITS,
                "progress": CALLBACKS,
            },
            ("example",),
        ),
        "Saver.import_": Door(
            store.import_,
            {"path": file, "model": "other"},
            {
                **of_files,
                "path": PATHS,
                "model": MODELS,
                "format": [3, "", "nothing"],
                "tags": [3, [3], ["a b"]],
                "progress": CALLBACKS,
            },
        ),
        "Every": Door(
            saver.Every,
            {},
            {
                "steps": ["x", 0, 1.5, True],
                "minutes": ["x", 0, -1, True],
                "epochs": ["x", 0, 1.5],
                "improvement": [3, ""],
                "overhead": ["x", 0, 1, 2],
                "mode": [With("much", {"improvement": "loss"}), With("min", {"steps": 1})],
            },
        ),
        "Keep": Door(
            saver.Keep,
            {},
            {
                "last": ["x", 0, 1.5, True],
                "best": ["x", 0, 3],
                "every": ["x", 0, 1.5],
                "budget": ["much", 0, 1.5],
                "by": [With(3, {"best": 2}), With("loss", {"last": 1})],
                "mode": [With("much", {"best": 2, "by": "loss"}), With("min", {"last": 1})],
            },
        ),
        "OnSignal": Door(
            lambda signals: saver.OnSignal(signals),
            {"signals": signal.SIGTERM},
            {"signals": [3.5, None, "SIGNOTHING", 10_000, signal.SIGKILL, True]},
        ),
    }


def _cases(store: saver.Saver, folder: Path) -> Iterator[tuple[str, Door, str, Any]]:
    for name, door in _doors(store, folder).items():
        for parameter, values in door.bad.items():
            for value in values:
                value, others = value if isinstance(value, With) else (value, {})
                yield name, door._replace(good={**door.good, **others}), parameter, value


def _public() -> dict[str, Callable[..., Any]]:
    """Every public callable, and every public method of `Saver`."""
    found = {
        name: value
        for name in saver.__all__
        if callable(value := getattr(saver, name)) and name not in {"Version", "VersionWarning"}
        and not (isinstance(value, type) and issubclass(value, SaverError))
    }  # fmt: skip
    methods = inspect.getmembers(saver.Saver, inspect.isfunction)
    return found | {f"Saver.{name}": method for name, method in methods if name[0] != "_"}


def test_every_parameter_of_every_public_callable_is_tried(store: saver.Saver, tmp_path: Path) -> None:
    doors = _doors(store, tmp_path)
    assert doors.keys() == _public().keys()
    for name, call in _public().items():
        parameters = {*inspect.signature(call).parameters} - {"self"}
        assert parameters == {*doors[name].bad, *doors[name].free}, name


def test_the_good_arguments_are_good(store: saver.Saver, tmp_path: Path) -> None:
    for name in _doors(store, tmp_path).keys() - {"register", "Every", "Keep"}:
        fresh = saver.Saver(f"memory://good arguments of {name}")
        fresh.save("iris", {"a": [1, 2]}, tags=["best"])
        door = _doors(fresh, tmp_path)[name]
        door.call(**door.good)


def test_a_bad_argument_is_named_at_every_door(store: saver.Saver, tmp_path: Path) -> None:
    wrong = []
    for name, door, parameter, value in _cases(store, tmp_path):
        shown = f"{name}({parameter}={str(value)[:20]!r})"
        try:
            door.call(**{**door.good, parameter: value})
        except (TypeError, ValueError) as error:
            if isinstance(error, SaverError) and type(error) is not CannotSaveError:
                wrong.append(f"{shown} raised {type(error).__name__}: {error}")
            elif parameter.removesuffix("s") not in str(error).lower():
                wrong.append(f"{shown} is not named: {type(error).__name__}: {error}")
        except Exception as error:
            wrong.append(f"{shown} raised {type(error).__name__}: {error}")
        else:
            wrong.append(f"{shown} was taken")
    assert not wrong, "\n".join(wrong)


def test_a_bad_argument_changes_nothing(store: saver.Saver, tmp_path: Path) -> None:
    head = store._repo.state.head
    file = (tmp_path / "a.saver").read_bytes() if (tmp_path / "a.saver").exists() else None
    for _, door, parameter, value in _cases(store, tmp_path):
        with pytest.raises((TypeError, ValueError)):
            door.call(**{**door.good, parameter: value})
    store._repo.state.refresh()
    assert store._repo.state.head == head
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.saver", "models"]
    assert file is None or (tmp_path / "a.saver").read_bytes() == file


def test_numbers_of_other_libraries_are_numbers(store: saver.Saver) -> None:
    version = store.save(
        "iris", [1], step=np.int64(3), metrics={"a": np.float32(0.5), "b": np.array([2.0]), "c": True}
    )
    assert (version.step, version.metrics) == (3, {"a": 0.5, "b": 2.0, "c": 1.0})
    assert len(store.versions("iris", last=np.int64(1))) == 1


def test_one_name_is_a_list_of_it(store: saver.Saver) -> None:
    version = store.save("iris", {"a": [1]}, tags="first", base="iris")
    assert version.tags == ("first",)
    assert store.load("iris", parts="a", trust="mypackage.*") == {"a": [1]}


def test_what_is_given_once_may_be_an_iterator(store: saver.Saver) -> None:
    version = store.save("iris", {"a": [1]}, tags=iter(["x", "y"]), base=iter(["iris"]))
    assert set(version.tags) == {"x", "y"}
    assert store.load("iris", parts=iter(["a"]), trust=iter(["mypackage.*"])) == {"a": [1]}


@pytest.fixture
def run(store: saver.Saver) -> Iterator[Any]:
    with store.checkpoints("run", {"a": [1]}, every=saver.Every(steps=1)) as found:
        yield found


NUMBERS = ["x", [], {}, b"1", object()]
RUN: dict[str, tuple[str, dict[str, list[Any]]]] = {
    "step": ("step", {"step": [*NUMBERS, None, 1.5, True, -1], "epoch": [*NUMBERS, True, -1, float("nan")]}),
    "save": ("save", {"reason": [3, None, [], b"x", "", "a\nb", float("nan"), "x" * 201]}),
    "listen": ("listen", {"listener": [3, None, "x", []]}),
    "resume": ("resume", {"trust": TRUSTS, "classes": CLASSES, "shared": [3, "", "all", b"read", "read"]}),
}


@pytest.mark.parametrize("method", RUN)
def test_a_run_names_a_bad_argument_and_goes_on(method: str, run: Any, store: saver.Saver) -> None:
    good: dict[str, Any] = {"step": 0} if method == "step" else {}
    name, bad = RUN[method]
    assert {*inspect.signature(getattr(run, name)).parameters} - {"metrics", "kinds"} == {*bad}
    for parameter, values in bad.items():
        for value in values:
            with pytest.raises((TypeError, ValueError), match=parameter.removesuffix("s")):
                getattr(run, name)(**{**good, parameter: value})
    assert "run" not in store.models()
    assert run.step(0, loss=1.0)


@pytest.mark.parametrize("kind", [3, "saved", None, int, object()])
def test_a_run_has_events_of_its_own_kinds_only(kind: Any, run: Any) -> None:
    with pytest.raises(TypeError, match="kinds"):
        run.listen(print, kind)


@pytest.mark.parametrize("timeout", ["x", [], True, object()])
def test_a_handle_waits_for_seconds(timeout: Any, store: saver.Saver) -> None:
    handle = store.save("iris", 1, wait=False)
    with pytest.raises(TypeError, match="timeout"):
        handle.result(timeout)
    assert handle.result().number == 2


@pytest.mark.parametrize(("name", "value"), [("total", True), ("total", 0), ("objects", {}), ("objects", [])])
def test_a_run_is_not_made_of_nothing(name: str, value: Any, store: saver.Saver) -> None:
    good: dict[str, Any] = {"objects": {"a": [1]}, "every": saver.Every(steps=1)}
    with pytest.raises((TypeError, ValueError), match=name):
        store.checkpoints("run", **{**good, name: value})
