"""Conditions, orders and the best of versions: what is chosen, and what is refused."""

from __future__ import annotations

import math
import re
from datetime import datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import saver
from saver.direction import GROWING, SHRINKING, better
from saver.repo.choosing import Choice, parse_order
from saver.repo.conditions import DEPTH, FIELDS, LENGTH, parse_condition
from saver.repo.finding import extreme
from saver.repo.refs import BadNameError, Extreme, Ref, parse_ref
from saver.repo.version import Version
from saver.storages.memory import MemoryStorage

NOON = datetime(2026, 11, 20, 12).timestamp()


def version(number: int, **given: Any) -> Version:
    plain = Version(
        model="m", number=number, time=NOON, step=None, author="", metrics={}, tags=(), labels={}, notes="",
        saved_notes="", parts={}, bytes=100, bytes_added=10, parent=None, manifest="", packs=(),
    )  # fmt: skip
    return msgspec.structs.replace(plain, **given)


VERSIONS = [
    version(1, metrics={"auc": 0.5, "val/loss": 2.0}, author="ann", step=10, labels={"team": "fraud"}),
    version(2, metrics={"auc": 0.9}, tags=("production", "best"), notes="With Drift", time=NOON + 3600),
    version(3, metrics={"auc": math.nan, "team": 3.0}, author="bob", step=0, bytes=2000),
    version(4, metrics={"auc": math.inf, "top 5": 1.0}, labels={"epochs": "10"}, time=NOON + 86400),
    version(5, labels={"epochs": "9", "x.y": "1.10"}, tags=("old",), time=NOON - 86400),
]


def chosen(text: str) -> list[int]:
    return [each.number for each in VERSIONS if parse_condition(text).holds(each)]


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("auc>0.8", [2, 4]),
        ("auc >= 9e-1", [2, 4]),
        ("auc < 1", [1, 2]),
        ("auc = 0.5", [1]),
        ("auc==.5", [1]),
        ("auc != 0.5", [2, 3, 4]),
        ("auc = nan", [3]),
        ("auc != nan", [1, 2, 4]),
        ("auc = inf", [4]),
        ("auc", [1, 2, 3, 4]),
        ("not auc", [5]),
        ("not auc > 0.8", [1, 3, 5]),
        ("auc>-inf and auc<inf", [1, 2]),
        ("'val/loss' = 2 or val/loss > 3", [1]),
        ('"top 5" = 1', [4]),
        ("metric.auc > 0.8", [2, 4]),
        ("team = fraud", [1]),
        ("team = 3", [3]),
        ("metric.team", [3]),
        ("label.team", [1]),
        ("label.team != risk", [1]),
        ("epochs > 9", [4]),
        ("label.epochs <= 9", [5]),
        ("label.x.y = 1.1", []),
        ("label.x.y = 1.10", [5]),
        ("label.team > apple", [1]),
        ("team ~ RAU", [1]),
        ("tag = best", [2]),
        ("tag != best", [1, 3, 4, 5]),
        ("tag", [2, 5]),
        ("tag ~ prod", [2]),
        ("author = ann", [1]),
        ("author != ann", [3]),
        ("author", [1, 3]),
        ("notes ~ drift", [2]),
        ("notes = 'With Drift'", [2]),
        ("step", [1, 3]),
        ("step < 10", [3]),
        ("number > 3 and number <= 4", [4]),
        ("size >= 2000", [3]),
        ("added = 10", [1, 2, 3, 4, 5]),
        ("time = 2026-11-20", [1, 2, 3]),
        ("time != 2026-11-20", [4, 5]),
        ("time > 2026-11-20", [4]),
        ("time >= 2026-11-20", [1, 2, 3, 4]),
        ("time < 2026-11-20", [5]),
        ("time <= 2026-11-20", [1, 2, 3, 5]),
        ("time > 2026-11-20T12:30", [2, 4]),
        ("time <= 2026-11-20T12:00", [1, 3, 5]),
        ("auc > 0.8 and tag = best or author = ann", [1, 2]),
        ("author = ann or auc > 0.8 and tag = best", [1, 2]),
        ("(author = ann or auc > 0.8) and tag = best", [2]),
        ("NOT (auc > 0.8 OR author = ann) AND step = 0", [3]),
        ("not not tag = best", [2]),
        ("'and' = 1 or auc=.5", [1]),
    ],
)  # fmt: skip
def test_a_condition_chooses(text: str, numbers: list[int]) -> None:
    assert chosen(text) == numbers


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the name of a metric, a label or a field was expected at character 1"),
        ("auc >", "a value was expected at character 6"),
        ("auc > > 1", "a value was expected at character 7"),
        ("auc 0.8", "was expected at character 5"),
        ("> 0.8", "was expected at character 1"),
        ("auc > 0.8 and", "was expected at character 14"),
        ("and", "was expected at character 1"),
        ("(auc > 0.8", "`)` was expected at character 11"),
        ("auc > 0.8)", "was expected at character 10"),
        ("auc > 'x", "nothing begins at character 6"),
        ("auc ! 1", "not equal is `!=`"),
        ("step > high", "'high' is not a number"),
        ("metric.auc = x", "'x' is not a number"),
        ("step ~ 1", "`~` compares texts"),
        ("tag > a", "write `tag = NAME`"),
        ("time > noon", "is not a time"),
        ("time > 9999-12-31", "is not a time"),
        ("time ~ 2026", "is not a time"),
        ("(" * (DEPTH + 2) + "auc" + ")" * (DEPTH + 2), "within one another"),
        ("not " * (DEPTH + 2) + "auc", "within one another"),
        ("a" * (LENGTH + 1), "is longer than"),
    ],
)
def test_what_is_not_a_condition_is_reported_with_its_place(text: str, message: str) -> None:
    with pytest.raises(BadNameError, match=re.escape(message)):
        parse_condition(text)


WORDS = [
    "auc", "'val/loss'", "metric.auc", "label.team", "team", "(", ")", "and", "or", "not", "=", "!=", "<",
    "<=",
    ">", ">=", "~", "0.5", "nan", "x", "2026-11-20", "__import__('os')", "1_0", "\\", "\0", "'", *FIELDS,
]  # fmt: skip


@given(st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join) | st.text(max_size=30))
def test_any_text_is_a_condition_that_holds_or_not_or_is_refused(text: str) -> None:
    try:
        condition = parse_condition(text)
    except BadNameError:
        return
    negated = parse_condition(f"not ({text})")
    for each in VERSIONS:
        assert isinstance(condition.holds(each), bool)
        assert negated.holds(each) is not condition.holds(each)


def among(where: str | None = None, sort: str | None = None, last: int | None = None) -> list[int]:
    return [each.number for each in Choice.of(where, sort).among(VERSIONS, last)]


def test_a_bare_name_that_no_version_has_is_reported_with_those_that_there_are() -> None:
    with pytest.raises(saver.NotFoundError, match=r"'acu'; there are metrics: auc, .*labels: epochs, team"):
        among("not acu > 0.8")
    with pytest.raises(saver.NotFoundError, match="'mse'"):
        among(sort="mse")
    for text in ("auc > 0.8and", "auc = high", "auc ~ 1"):
        with pytest.raises(BadNameError, match=r"'auc' is a metric, and .* is not a number"):
            among(text)
    assert among("team = fraud") == [1]  # a label of one version, and a metric of another
    assert among("label.stage = live") == among("metric.mse > 1") == []


@pytest.mark.parametrize(
    ("sort", "numbers"),
    [
        ("auc", [2, 1, 3, 4, 5]),
        ("best:auc", [2, 1, 3, 4, 5]),
        ("worst:auc", [1, 2, 3, 4, 5]),
        ("min:auc", [1, 2, 3, 4, 5]),
        ("max:top 5", [4, 1, 2, 3, 5]),
        ("step", [1, 3, 2, 4, 5]),
        ("min:step", [3, 1, 2, 4, 5]),
        ("time", [4, 2, 1, 3, 5]),
        ("max:size", [3, 1, 2, 4, 5]),
        ("min:number", [1, 2, 3, 4, 5]),
    ],
)
def test_an_order_has_the_best_first_and_what_does_not_count_last(sort: str, numbers: list[int]) -> None:
    assert among(sort=sort) == numbers


def test_of_those_that_satisfy_a_condition_the_last_are_taken_and_then_sorted() -> None:
    assert among("auc", last=2) == [3, 4]
    assert among("auc<inf", "worst:auc", last=2) == [1, 2]
    assert among(last=0) == []


@pytest.mark.parametrize("sort", ["", "best:", "a\nb", "best:foo", "mode:auc"])
def test_what_is_not_an_order_is_refused(sort: str) -> None:
    if sort == "mode:auc":  # the name of a metric, with a word that tells
        assert parse_order(sort).largest
        return
    with pytest.raises(BadNameError):
        parse_order(sort)


def test_a_name_that_does_not_tell_which_way_is_better_must_first_be_one_of_a_metric() -> None:
    with pytest.raises(saver.NotFoundError, match="'foo'; there are metrics: auc"):
        among(sort="foo")
    with pytest.raises(BadNameError, match=r"sort: .*write `max:top 5` or `min:top 5`"):
        among(sort="top 5")


# The best


values = st.lists(
    st.none() | st.sampled_from([0.5, 0.9, -0.0, 0.0]) | st.floats(allow_nan=True, allow_infinity=True)
)


@given(values, st.booleans())
def test_the_best_is_the_first_of_the_largest_finite_values_and_first_in_its_order(
    found: list[float | None], largest: bool
) -> None:
    versions = [
        version(number, metrics={} if value is None else {"auc": value})
        for number, value in enumerate(found, 1)
    ]
    counting = [(value, n) for n, value in enumerate(found, 1) if value is not None and math.isfinite(value)]
    wanted = None
    if counting:
        best = (max if largest else min)(value for value, _ in counting)
        wanted = min(number for value, number in counting if value == best)
    assert extreme(((v.number, v.metrics) for v in versions), Extreme("auc", largest)) == wanted
    kept = saver.Keep(best=1, by="auc", mode="max" if largest else "min").kept(versions)  # type: ignore[arg-type]
    assert kept == ({wanted} if wanted else set())
    if wanted:
        order = "max:auc" if largest else "min:auc"
        assert Choice.of(None, order).among(versions)[0].number == wanted


def test_what_is_best_is_known_by_the_name_or_else_must_be_said() -> None:
    assert parse_ref("m@best:auc") == parse_ref("m@max:auc") == Ref("m", metric=Extreme("auc", True))
    assert parse_ref("m@worst:auc") == parse_ref("m@min:auc") == Ref("m", metric=Extreme("auc", False))
    assert parse_ref("m@best:val/loss") == Ref("m", metric=Extreme("val/loss", False))
    assert parse_ref("m@worst:val_loss") == Ref("m", metric=Extreme("val_loss", True))
    assert parse_ref("m@best:precision@10") == Ref("m", metric=Extreme("precision@10", True))
    for name in ("foo", "accuracy_loss", "time"):
        with pytest.raises(BadNameError, match=rf"write `max:{name}` or `min:{name}`"):
            parse_ref(f"m@best:{name}")
        assert parse_ref(f"m@max:{name}") == Ref("m", metric=Extreme(name, True))
    for text in ("m@best:", "m@best:a\nb", "m@better:auc", f"m@max:{'a' * 201}"):
        with pytest.raises(BadNameError):
            parse_ref(text)


def test_no_word_tells_both_directions() -> None:
    assert not GROWING & SHRINKING
    assert [better(word) for word in sorted(GROWING)] == ["max"] * len(GROWING)
    assert [better(f"val_{word}") for word in sorted(SHRINKING)] == ["min"] * len(SHRINKING)


def test_the_best_can_be_named_wherever_a_ref_is() -> None:
    store = saver.Saver(MemoryStorage())
    for auc in (0.5, 0.9, math.nan, 0.9):
        store.save("iris", [auc], metrics={"auc": auc})
    assert store.load("iris@best:auc") == [0.9]
    assert store.version("iris@best:auc").number == 2
    store.tag("iris@best:auc", "production")
    store.label("iris@worst:auc", {"stage": "old"})
    assert [v.number for v in store.versions("iris", where="tag = production or stage = old")] == [1, 2]
    assert [c.version.number for c in store.history("iris", sort="auc", last=2)] == [4, 3]
    assert [str(v) for v in store.delete("iris@best:auc", tags=True)] == ["iris@2"]
    assert store.version("iris@best:auc").number == 4
    with pytest.raises(saver.NotFoundError, match=r"no version of iris has a finite 'loss'; .*auc"):
        store.load("iris@best:loss")


def test_a_group_has_the_models_that_begin_so() -> None:
    store = saver.Saver(MemoryStorage())
    for model in ("fraud", "fraud/a", "fraud/b/c", "fraud-2", "frau/d"):
        store.save(model, 1, tags=["live"])
    assert store.models("fraud/") == ["fraud/a", "fraud/b/c"]
    assert [each.model for each in store.summaries("fraud/b/")] == ["fraud/b/c"]
    assert store.summaries("fraud/")[0].tags == {"live": 1}
    assert store.models("none/") == []
    assert len(store.models()) == 5
    for wrong in ("fraud", "/", "a b/", "../"):
        with pytest.raises(BadNameError, match="group"):
            store.models(wrong)
    with pytest.raises(saver.NotFoundError, match="there are fraud/b/c"):
        store.load("fraud/b")
