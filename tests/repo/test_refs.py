"""Refs: how one names a version."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from saver.repo.refs import BadNameError, Ref, check_model, check_tag, parse_ref

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("text", "ref"),
    [
        ("iris", Ref("iris")),
        ("iris@latest", Ref("iris")),
        ("team/bert-base.v2@3", Ref("team/bert-base.v2", number=3)),
        ("iris@production", Ref("iris", tag="production")),
        ("iris@v1.0", Ref("iris", tag="v1.0")),
        ("iris@step=1000", Ref("iris", step=1000)),
        ("iris@step=0", Ref("iris", step=0)),
        ("modèle", Ref("modèle")),
        ("iris@time=2026-11-20T12:00+00:00", Ref("iris", time=NOON)),
    ],
)  # fmt: skip
def test_a_ref_is_taken_apart(text: str, ref: Ref) -> None:
    assert parse_ref(text) == ref


def test_a_day_means_its_end() -> None:
    found = parse_ref("iris@time=2026-11-20").time
    assert found is not None
    assert datetime.fromtimestamp(found) == datetime(2026, 11, 20, 23, 59, 59, 999_999)


@pytest.mark.parametrize(
    "text",
    [
        "", "@1", "iris@", "iris@0", "iris@01", "iris@-1", "iris@step=", "iris@step=-1", "iris@step=1.5",
        "iris@time=x", "iris@a b", "a b", "a//b", "/a", "a/", "../a", "a/../b", ".a", "-a", "a@b@c",
        "iris@" + "9" * 13, "a" * 201, "iris@step=" + "9" * 16, "a\nb", "iris@new\n", "e\u0301",
    ],
)  # fmt: skip
def test_what_is_not_a_ref_is_reported(text: str) -> None:
    with pytest.raises(BadNameError, match="is not"):
        parse_ref(text)


@pytest.mark.parametrize("tag", ["latest", "1", "1st", "", "a b", "a@b", "step=1", "a/b", "x" * 101, "tag\n"])
def test_a_tag_cannot_be_taken_for_anything_else(tag: str) -> None:
    with pytest.raises(BadNameError, match="is not a tag"):
        check_tag(tag)


def test_models_may_lie_in_groups() -> None:
    check_model("team/vision/resnet-50+aug.v2")
