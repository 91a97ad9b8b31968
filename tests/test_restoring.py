from __future__ import annotations

import json
import random
import subprocess
import sys
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import saver
from equality import assert_same
from saver.errors import DamagedError, DoesNotFitError, IncompatibleError, NotFoundError, UntrustedError
from saver.opened import Opened
from saver.opening import open_file
from saver.restoring import Report, restore
from saver.tree import Node

Save = Callable[[Any], Opened]


@dataclass
class Settings:
    rate: float
    weights: Any = None
    others: list[Any] = field(default_factory=list)


@dataclass(frozen=True)
class Frozen:
    rate: float


@saver.register
class Vocabulary:
    def __init__(self, words: list[str]) -> None:
        self.words = words


@saver.register
class Slotted:
    __slots__ = ("__hidden", "shown")

    def __init__(self, hidden: Any) -> None:
        self.__hidden = hidden

    def hidden(self) -> Any:
        return self.__hidden


class Loader:
    """A data loader that knows where it is."""

    def __init__(self) -> None:
        self.state: Any = None

    def load_state_dict(self, state: Any) -> None:
        if state.get("position") == "lost":
            raise RuntimeError("this position is not mine")
        self.state = state

    def state_dict(self) -> Any:
        return {"position": 0, "epoch": 0}


# What a target can be


@pytest.mark.slow
@given(
    st.sampled_from(["f8", "f4", "f2", "i8", "i4", "u1", "?", "c16", "M8[s]", "U3"]),
    st.sampled_from(["f8", "f4", "f2", "i8", "i4", "u1", "?", "c16", "M8[s]", "U3"]),
    st.sampled_from([(), (3,), (0, 2), (40, 7)]),
    st.booleans(),
)
@settings(max_examples=150)
def test_an_array_takes_what_numpy_calls_the_same_kind(
    save: Save, saved_as: str, target_as: str, shape: tuple[int, ...], fortran: bool
) -> None:
    value = np.asarray(
        np.arange(np.prod(shape)).reshape(shape).astype(saved_as), order="F" if fortran else "C"
    )
    target = np.zeros(shape, target_as)
    address = target.__array_interface__["data"][0]
    opened = save(value)
    if not np.can_cast(value.dtype, target.dtype, "same_kind"):
        with pytest.raises(DoesNotFitError, match="cannot be converted to"):
            restore(opened, target)
        assert_same(target, np.zeros(shape, target_as))
        return
    report = restore(opened, target)
    assert target.__array_interface__["data"][0] == address
    assert_same(target, value.astype(target.dtype).reshape(shape).copy())
    assert [c.target for c in report.parts["model"].converted] == (
        [] if value.dtype == target.dtype else [str(target.dtype)]
    )


def test_a_view_of_an_array_is_restored_where_it_lies(save: Save) -> None:
    whole = np.zeros((4, 6))
    restore(save(np.ones((4, 3))), whole[:, ::2])
    assert whole.sum() == 12
    assert whole[:, 1::2].sum() == 0


def test_objects_and_records_are_restored_into_arrays(save: Save) -> None:
    words = np.array(["a", None, [1, 2]], object)
    target = np.empty(3, object)
    restore(save(words), target)
    assert target.tolist() == ["a", None, [1, 2]]
    records = np.array([(1, 2.5), (3, 4.5)], [("id", "i4"), ("score", "f8")])
    place = np.zeros(2, records.dtype)
    restore(save(records), place)
    assert_same(place, records)


@pytest.mark.parametrize(
    ("value", "target", "why"),
    [
        (np.zeros((2, 3)), np.zeros((3, 2)), "saved \\[2, 3\\], here \\[3, 2\\]"),
        (np.zeros(100), np.zeros(()), "saved \\[100\\], here \\[\\]"),
        (np.zeros(3), np.ma.zeros(3), "cannot be copied into a numpy.ma"),
        ([1, 2], np.zeros(2), "a list was saved"),
    ],
)
def test_an_array_of_another_form_is_left_alone(save: Save, value: Any, target: Any, why: str) -> None:
    before = target.copy()
    with pytest.raises(DoesNotFitError, match=why):
        restore(save(value), target)
    assert_same(target, before)


def test_a_read_only_array_is_refused(save: Save) -> None:
    target = np.zeros(3)
    target.flags.writeable = False
    with pytest.raises(DoesNotFitError, match="read-only"):
        restore(save(np.ones(3)), target)


@pytest.mark.parametrize("make", [
    lambda seed: random.Random(seed),
    lambda seed: np.random.default_rng(seed),
    lambda seed: np.random.Generator(np.random.MT19937(seed)),
    lambda seed: np.random.Philox(seed),
    lambda seed: np.random.RandomState(seed),
])  # fmt: skip
def test_a_generator_goes_on_where_the_saved_one_was(save: Save, make: Any) -> None:
    def draw(generator: Any) -> Any:
        if isinstance(generator, random.Random):
            return [generator.gauss(0, 1) for _ in range(3)]
        if isinstance(generator, np.random.BitGenerator):
            return generator.random_raw(3)
        return generator.normal(size=3)

    original, other = make(1), make(2)
    draw(original)
    opened = save({"generator": original})
    restore(opened, {"generator": other})
    assert_same(draw(original), draw(other))


def test_a_generator_of_another_kind_is_refused(save: Save) -> None:
    target = np.random.default_rng(1)
    before = target.bit_generator.state
    with pytest.raises(DoesNotFitError, match=r"MT19937, this one a numpy.*PCG64"):
        restore(save(np.random.Generator(np.random.MT19937(1))), target)
    with pytest.raises(DoesNotFitError, match="a Random was saved, not a random generator that"):
        restore(save(random.Random(1)), target)
    assert target.bit_generator.state == before


@pytest.mark.parametrize(
    ("value", "target"),
    [
        ({"a": 1, 2: [3, None]}, {"b": 0}),
        ({(1, 2): "a key that is an object"}, {}),
        ({index: index for index in range(500)}, {}),
        ({f"k{index}": [index] for index in range(500)}, {}),
        (OrderedDict(b=1, a=2), OrderedDict(c=3)),
        (Counter("hello"), Counter("world")),
        (defaultdict(list, a=[1]), defaultdict(int, b=2)),
        ([1, "two", {"three": 3}], [4, 5, 6, 7]),
        (list(range(500)), []),
        ({1, 2, 3}, {4}),
        (deque([1, 2]), deque([3])),
        (bytearray(b"saved"), bytearray(b"there")),
    ],
)
def test_a_container_is_emptied_and_filled_again(save: Save, value: Any, target: Any) -> None:
    alias = target
    assert restore(save({"part": value}), {"part": target})
    assert alias is target
    assert type(target) is type(value)
    assert target == value
    if isinstance(value, dict):
        assert list(target) == list(value)


def test_a_container_that_contains_itself_does_so_again(save: Save) -> None:
    history: list[Any] = [1]
    history.append(history)
    target: list[Any] = []
    restore(save(history), target)
    assert target[1] is target


def test_live_objects_within_containers_are_restored_rather_than_replaced(save: Save) -> None:
    first, second = random.Random(1), np.random.default_rng(2)
    opened = save({"state": {"deep": [first, {"rng": second}], "step": 7}})
    one, two = random.Random(3), np.random.default_rng(4)
    target = {"deep": [one, {"rng": two}], "step": 0, "gone": 1}
    report = restore(opened, {"state": target})
    assert target["deep"][0] is one
    assert target["deep"][1]["rng"] is two
    assert target["step"] == 7
    assert "gone" not in target
    assert one.random() == first.random()
    assert two.random() == second.random()
    assert report.parts["state"].matched == ("step", "deep.0.value", "deep.1.rng.value")


def test_a_live_object_of_which_nothing_was_saved_is_missing(save: Save) -> None:
    kept = random.Random(1)
    target: dict[str, Any] = {"rng": kept}
    opened = save({"state": {"step": 7}})
    with pytest.raises(DoesNotFitError, match="1 were not saved: rng"):
        restore(opened, {"state": target})
    assert target == {"rng": kept}
    restore(opened, {"state": target}, strict=False)
    assert target == {"step": 7, "rng": kept}


def test_an_object_gets_the_attributes_that_were_saved(save: Save) -> None:
    value = Settings(0.5, np.arange(200.0), [1])
    value.extra = "later"  # type: ignore[attr-defined]
    target = Settings(0.1)
    target.own = "before"  # type: ignore[attr-defined]
    restore(save({"settings": value}), {"settings": target})
    assert_same(vars(target), vars(value))


def test_an_object_needs_no_trust_but_what_it_holds_does(save: Save) -> None:
    opened = save({"settings": Settings(0.5)})
    with pytest.raises(UntrustedError):
        saver.load(opened.where)
    restore(opened, {"settings": Settings(0.1)})
    nested = save({"settings": Settings(0.5, Settings(0.6))})
    target = Settings(0.1)
    with pytest.raises(UntrustedError, match="Settings"):
        restore(nested, {"settings": target})
    assert target == Settings(0.1)
    restore(nested, {"settings": target}, trust=[f"{__name__}.*"])
    assert target.weights == Settings(0.6)


def test_an_object_with_slots_loses_those_that_were_not_set(save: Save) -> None:
    target = Slotted("before")
    target.shown = 1
    restore(save({"object": Slotted("saved")}), {"object": target})
    assert target.hidden() == "saved"
    assert not hasattr(target, "shown")


@pytest.mark.parametrize(
    ("value", "target", "why"),
    [
        (Vocabulary(["a"]), Settings(0.1), "Vocabulary was saved, not a .*Settings"),
        (Frozen(0.5), Frozen(0.1), "frozen"),
        (1, 2, "an int cannot be restored in place; take it from `load`"),
        ((1, 2), (3, 4), "a tuple cannot be restored in place"),
        ([1], {"a": 1}, "a list was saved, not a mapping"),
        ({"a": 1}, [1], "a dict was saved, not a list"),
        ([1], {1}, "which cannot fill a set"),
        (1.5, random.Random(1), "1.5 was saved, not a random generator that a random.Random"),
        ([1], Loader(), "where load_state_dict needs a dict"),
    ],
)
def test_kinds_that_differ_are_reported_and_nothing_happens(
    save: Save, value: Any, target: Any, why: str
) -> None:
    before = repr(target)
    with pytest.raises(DoesNotFitError, match=why):
        restore(save({"part": value}), {"part": target})
    assert repr(target) == before


def test_whatever_loads_a_state_is_given_it(save: Save) -> None:
    loader = Loader()
    report = restore(save({"loader": {"position": 3, "epoch": 1}}), {"loader": loader})
    assert loader.state == {"position": 3, "epoch": 1}
    assert report.parts["loader"].matched == ("position", "epoch")


def test_what_refuses_its_state_is_asked_before_anything_is_changed(save: Save) -> None:
    opened = save({"weights": np.ones(100), "loader": {"position": "lost"}})
    weights = np.zeros(100)
    with pytest.raises(
        DoesNotFitError, match=r"loader: Loader.load_state_dict failed: RuntimeError: this position"
    ):
        restore(opened, {"weights": weights, "loader": Loader()})
    assert weights.sum() == 0


def test_references_between_parts_lead_to_the_live_objects(save: Save) -> None:
    shared = {"counts": [1]}
    opened = save({"table": shared, "settings": Settings(0.5, shared)})
    table: dict[str, Any] = {}
    target = Settings(0.1)
    restore(opened, {"table": table, "settings": target})
    assert target.weights is table
    assert table == shared


@pytest.mark.shows("scikit-learn", "restore")
def test_an_estimator_becomes_the_one_that_was_saved(save: Save) -> None:
    sklearn = pytest.importorskip("sklearn")
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    assert sklearn
    rng = np.random.default_rng(0)
    rows, labels = rng.normal(size=(60, 4)), rng.integers(0, 2, 60)
    fitted = RandomForestClassifier(5, random_state=1).fit(rows, labels)
    step = RandomForestClassifier()
    pipeline = make_pipeline(StandardScaler().fit(rows), step)
    restore(save({"forest": fitted}), {"forest": step})
    assert_same(pipeline[-1].predict_proba(rows), fitted.predict_proba(rows))
    assert_same(step.get_params(), fitted.get_params())
    with pytest.raises(
        DoesNotFitError, match=r"RandomForestClassifier was saved, not a .*LogisticRegression"
    ):
        restore(save({"forest": fitted}), {"forest": LogisticRegression()})


def test_a_forged_estimator_is_not_restored(save: Save) -> None:
    pytest.importorskip("sklearn")
    from sklearn.svm import SVC

    rng = np.random.default_rng(0)
    fitted = SVC().fit(rng.normal(size=(30, 3)), np.arange(30) % 2)
    opened = save(fitted)
    tree = opened.trees["model"].root
    tree.state["_n_support"] = Node("list", state=[10**6, 10**6])
    target = SVC()
    with pytest.raises(IncompatibleError):
        restore(opened, target)
    assert not hasattr(target, "support_")


# What goes where


def test_a_single_target_takes_the_only_part(save: Save) -> None:
    target = np.zeros(3)
    restore(save(np.ones(3)), target)
    restore(save({"weights": np.ones(3) * 2}), target)
    assert target.tolist() == [2, 2, 2]
    table: dict[str, int] = {}
    restore(save({f"k{n}": n for n in range(100)}), {"model": table})
    assert len(table) == 100


def test_a_mapping_that_is_a_state_dict_is_one(save: Save) -> None:
    loader = Loader()
    restore(save({"position": 3, "epoch": 1}), loader)
    assert loader.state == {"position": 3, "epoch": 1}


def test_which_part_goes_where_must_be_said_where_there_are_several(save: Save) -> None:
    opened = save({"scaler": np.ones(3), "loader": {"position": 1}})
    with pytest.raises(
        NotFoundError, match=r"has the parts scaler, loader; name the target of each: into=\{'scaler': t"
    ):
        restore(opened, Loader())
    with pytest.raises(NotFoundError, match="has no part 'scalar'; its parts are scaler, loader"):
        restore(opened, {"scalar": np.zeros(3)})
    with pytest.raises(NotFoundError, match=r"not a mapping: pass into=\{'model': target\}"):
        restore(save([1]), {"weights": []})


def test_parts_that_are_not_asked_for_are_not_read(save: Save) -> None:
    opened = save({"first": np.ones(1000), "second": np.ones(1000) * 2})
    ((_, at, _),) = opened.tensors.info("second").shards[0].extents
    with open(opened.where, "r+b") as file:
        file.seek(at)
        file.write(b"\xff" * 8)
    damaged = open_file(opened.where)
    first, second = np.zeros(1000), np.zeros(1000)
    report = restore(damaged, {"first": first})
    assert first.sum() == 1000
    assert report.bytes == 8000
    first[:] = 0
    with pytest.raises(DamagedError, match="second"):
        restore(damaged, {"first": first, "second": second})
    assert first.sum() == second.sum() == 0


def test_one_target_that_does_not_fit_leaves_all_alone(save: Save) -> None:
    opened = save({"first": np.ones(100), "second": np.ones(100)})
    first = np.zeros(100)
    with pytest.raises(DoesNotFitError) as caught:
        restore(opened, {"first": first, "second": np.zeros(50)})
    assert first.sum() == 0
    report = caught.value.report
    assert isinstance(report, Report)
    assert report.parts["first"]
    assert not report.parts["second"]
    found = restore(opened, {"first": first, "second": np.zeros(50)}, strict=False)
    assert first.sum() == 100
    assert not found


def test_progress_counts_the_bytes_that_are_read(save: Save) -> None:
    opened = save({"large": np.ones(3_000_000), "other": np.ones(1000)})
    calls: list[tuple[int, int]] = []
    restore(opened, {"large": np.zeros(3_000_000)}, progress=lambda done, total: calls.append((done, total)))
    assert calls[-1] == (24_000_000, 24_000_000)
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)


def test_names_that_apply_to_nothing_are_an_error(save: Save) -> None:
    with pytest.raises(DoesNotFitError, match=r"`names` has 'encoder.', but nothing was saved by name"):
        restore(save(np.ones(3)), np.zeros(3), names={"encoder.": "backbone."})


def test_restoring_needs_no_framework(save: Save) -> None:
    opened = save({"weights": np.ones(100), "table": {"a": 1}, "rng": random.Random(1)})
    program = f"""
import json, random, sys
import numpy as np
from saver.restoring import restore
from saver.opening import open_file
into = {{"weights": np.zeros(100), "table": {{}}, "rng": random.Random(2)}}
restore(open_file({opened.where!r}), into)
assert into["weights"].sum() == 100 and into["table"] == {{"a": 1}}
print(json.dumps(sorted(name for name in ("torch", "sklearn", "scipy", "pandas") if name in sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []


def test_a_part_whose_tree_is_not_an_array_is_refused(save: Save) -> None:
    opened = save(np.ones(100))
    tree = opened.trees["model"].root
    for state in ({}, {"shape": 5, "dtype": "f8"}, {"shape": [100], "dtype": "nonsense"}, None, 5):
        tree.state = state
        with pytest.raises(IncompatibleError):
            restore(opened, np.zeros(100))


def test_the_report_is_a_table(save: Save) -> None:
    opened = save({"first": np.ones(1000, np.float32), "second": np.ones(100)})
    report = restore(opened, {"first": np.zeros(1000), "second": np.zeros(5)}, strict=False)
    lines = str(report).splitlines()
    assert lines[0] == f"{opened.where}: 4 kB restored"
    assert lines[1].split() == ["part", "into", "matched", "missing", "unexpected", "mismatched", "converted"]
    assert lines[2].split() == ["first", "ndarray", "1", "0", "0", "0", "1"]
    assert lines[3].split() == ["second", "ndarray", "0", "0", "0", "1", "0"]
    assert lines[4].strip() == "first   1 were converted: value (float32 to float64)"
    assert lines[5].strip() == "second  1 cannot be copied: value (saved [100], here [5])"
