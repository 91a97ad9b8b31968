"""A difference as people read it."""

from __future__ import annotations

import pytest

from saver.compare import (
    Amount,
    ArrayChange,
    ArrayInfo,
    DataChange,
    Difference,
    Field,
    MetricChange,
    PartChange,
    sections,
)
from saver.compare.sections import share

SAME = PartChange("scaler", "same", 1, 1, "a", "a")
CHANGED = PartChange("model", "changed", 1, 2, "b", "c")


def made(**fields: object) -> Difference:
    return Difference("iris@1", "iris@2", (SAME, CHANGED), **fields)  # type: ignore[arg-type]


def rows(found: Difference, title: str) -> tuple[tuple[str, ...], ...]:
    return next(section.rows for section in sections(found) if section.title == title)


def changed(path: str, amount: Amount, *shape: int) -> ArrayChange:
    return ArrayChange(path, ArrayInfo("F32", shape), ArrayInfo("F32", shape), amount)


AMOUNT = Amount(600, 600, 1.0, 1.23456, 0.0123456, 0.5, (0, 0))


def test_sections_without_rows_are_left_out() -> None:
    assert [section.title for section in sections(made())] == ["Parts"]
    assert rows(made(), "Parts") == (("scaler", "1", "1", "same"), ("model", "1", "2", "changed"))


def test_parts_that_came_or_went_have_no_version_on_one_side() -> None:
    found = Difference("a", "b", (PartChange("x", "added", None, 3), PartChange("y", "removed", 2)))
    assert rows(found, "Parts") == (("x", "-", "3", "added"), ("y", "2", "-", "removed"))


def test_every_row_has_a_cell_for_each_column() -> None:
    found = made(
        fields=(Field("a", "1", None),),
        arrays=(
            changed("w", AMOUNT, 30, 20),
            ArrayChange("v", ArrayInfo("F32", (3,)), None),
            ArrayChange("few", ArrayInfo("F64", (2,), "[1, 2]"), ArrayInfo("F64", (2,), "[1, 3]"), AMOUNT),
        ),
        facts=(Field("step", None, "5"),),
        metrics=(MetricChange("loss", 0.5, "nan", "nan"),),
        data=(DataChange("train", "same", "array", "array"),),
        environment=(Field("python", "3.11", "3.12"),),
    )
    titles = [section.title for section in sections(found)]
    assert titles == [
        "Parts",
        "Metrics",
        "Fields",
        "Tensors",
        "Tensors added, removed or reshaped",
        "Data",
        "Environment",
        "Facts",
    ]
    for section in sections(found):
        assert {len(row) for row in section.rows} == {len(section.columns)}
        assert set(section.spare) <= {title.removeprefix(">") for title in section.columns}
    assert ("few", "[1, 2]", "[1, 3]") in rows(found, "Fields")
    assert rows(found, "Metrics") == (("loss", "0.5", "nan", "nan"),)


def test_tensors_are_measured_in_few_digits() -> None:
    found = made(arrays=(changed("w", AMOUNT, 30, 20),))
    assert rows(found, "Tensors") == (("w", "F32", "30 x 20", "1.23", "0.012", "0.5", "100%"),)


def test_entries_that_are_not_finite_have_a_column_where_there_are_any() -> None:
    lost = Amount(600, 600, 1.0, 1.0, None, 1.0, (0, 7))
    found = made(arrays=(changed("w", AMOUNT, 600), changed("v", lost, 600)))
    assert [row[-1] for row in rows(found, "Tensors")] == ["0 -> 0", "0 -> 7"]


def test_an_array_that_grew_tells_what_changed_of_the_rows_that_were_there() -> None:
    grown = ArrayChange("w", ArrayInfo("F32", (10, 2)), ArrayInfo("F32", (12, 2)), Amount(20, 5, 0.25, 1.0))
    found = made(arrays=(grown, ArrayChange("v", None, ArrayInfo("F32", ()))))
    assert rows(found, "Tensors added, removed or reshaped") == (
        ("w", "F32 10 x 2", "F32 12 x 2", "25% changed"),
        ("v", "-", "F32 scalar", "-"),
    )


@pytest.mark.parametrize(
    ("changed_", "entries", "expected"),
    [(0, 5, "0%"), (1, 3, "33.3%"), (5, 5, "100%"), (99_999, 100_000, "99.9%"), (1, 10_000_000, "1e-05%")],
)
def test_all_is_said_of_all_entries_only(changed_: int, entries: int, expected: str) -> None:
    assert share(Amount(entries, changed_, changed_ / entries)) == expected


def test_fields_that_change_alike_are_one_row() -> None:
    steps = tuple(Field(f"optimizer/state.{n}.step", "1", "2") for n in range(150))
    rates = tuple(Field(f"optimizer/param_groups.{n}.lr", "0.1", f"0.{n + 2}") for n in range(2))
    layers = tuple(Field(f"model.{n}.training", "True", "False") for n in range(3))
    assert rows(made(fields=(*steps, *rates, *layers)), "Fields") == (
        ("optimizer/state.*.step (150 times)", "1", "2"),
        ("optimizer/param_groups.0.lr", "0.1", "0.2"),
        ("optimizer/param_groups.1.lr", "0.1", "0.3"),
        ("model.*.training (3 times)", "True", "False"),
    )


@pytest.mark.parametrize("count", [2, 10, 11, 100])
def test_of_many_fields_that_change_in_other_ways_the_first_ones_are_shown(count: int) -> None:
    trees = (Field(f"trees.{n}.random_state", str(n), str(n + 1)) for n in range(count))
    arrays = (ArrayChange(f"trees.{n}.x", None, ArrayInfo("F64", (n,), None), None) for n in range(count))
    found = made(fields=tuple(trees), arrays=tuple(arrays))
    for title in ("Fields", "Tensors added, removed or reshaped"):
        *first, last = rows(found, title)
        if count > 10:
            assert len(first) == 3
            assert last[0].endswith(f" ({count - 3} more)")
        else:
            assert len(first) + 1 == count


def test_the_fields_of_one_object_stand_together() -> None:
    few = ArrayChange("a/mean_", ArrayInfo("F64", (), "1"), ArrayInfo("F64", (), "2"), AMOUNT)
    found = made(fields=(Field("a/x", "1", "2"), Field("b/x", "1", "2")), arrays=(few,))
    assert [row[0] for row in rows(found, "Fields")] == ["a/x", "a/mean_", "b/x"]


def test_values_that_differ_in_their_bits_only_are_measured() -> None:
    nan = ArrayInfo("F64", (1,), "[nan]")
    found = made(arrays=(ArrayChange("w", nan, nan, Amount(1, 1, 1.0, 0.0, None, 0.0, (1, 1))),))
    assert [section.title for section in sections(found)] == ["Parts", "Tensors"]


def test_a_summary_is_one_line() -> None:
    found = made(
        fields=(Field("model/C", "1.0", "10.0"),),
        arrays=(changed("w", AMOUNT, 600),),
        unchanged=3,
        metrics=(MetricChange("accuracy", 0.953333, 0.9733333, 0.02),),
        environment=(Field("python", "3.11", "3.12"),),
        facts=(Field("step", "1", "2"),),
        data=(DataChange("train", "changed", "a", "b"),),
    )
    assert found.summary() == (
        "model changed, 1 field, 1 of 4 tensors, accuracy 0.9533 -> 0.9733, "
        "data train a -> b, python 3.11 -> 3.12, step 1 -> 2"
    )
    assert made().summary() == "model changed"
    assert Difference("a", "b", (SAME,)).summary() == "no difference"
    many = tuple(PartChange(str(n), "changed", 1, 2) for n in range(9))
    assert Difference("a", "b", (SAME, *many)).summary() == "9 of 10 parts differ"


def test_text_holds_the_summary_and_aligned_tables() -> None:
    found = made(fields=(Field("model/C", "1.0", "10.0"), Field("model/penalty", "'l2'", None)))
    assert str(found) == "\n".join(
        [
            "iris@1 -> iris@2: model changed, 2 fields",
            "",
            "Parts",
            "  part    old  new",
            "  scaler    1    1  same",
            "  model     1    2  changed",
            "",
            "Fields",
            "                 old   new",
            "  model/C        1.0   10.0",
            "  model/penalty  'l2'  -",
        ]
    )


def _array(shape: str, digest: str) -> str:
    return f"array float64 {shape}, 4.8 kB, {digest}"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (DataChange("data", "changed", _array("[150, 4]", "a"), _array("[149, 4]", "b")),
         "data array float64 [150, 4] -> array float64 [149, 4]"),
        (DataChange("data", "changed", _array("[9]", "a"), _array("[9]", "b")), "data with other values"),
        (DataChange("train", "added", None, _array("[9]", "b")), "data train added"),
        (DataChange("data", "removed", _array("[9]", "b"), None), "data removed"),
    ],
)  # fmt: skip
def test_a_summary_says_in_what_the_data_differ(data: DataChange, said: str) -> None:
    assert made(data=(data,)).summary() == f"model changed, {said}"


def test_a_summary_names_packages_and_counts_the_rest_of_the_environment() -> None:
    fields = (Field("cpu", "a", "b"), Field("packages.numpy", "2.1", "2.2"), Field("git.commit", "a", None))
    assert made(environment=fields).summary() == (
        "model changed, numpy 2.1 -> 2.2, 2 other differences of the environment"
    )
    assert made(environment=fields[:1]).summary() == "model changed, 1 difference of the environment"


def test_a_field_of_many_owners_is_one_row_and_counts_once() -> None:
    def found(count: int) -> Difference:
        names = [f"net/layer{chr(97 + at)}.weight" for at in range(count)]
        return made(fields=tuple(Field(f"{name}.requires_grad", "True", "False") for name in names))

    (_, many) = sections(found(4))
    assert many.rows == (("net/*.requires_grad (4 times)", "True", "False"),)
    assert found(4).summary() == "model changed, 1 field"
    (_, two) = sections(found(2))
    assert [row[0] for row in two.rows] == [
        "net/layera.weight.requires_grad", "net/layerb.weight.requires_grad",
    ]  # fmt: skip
