"""Versions that ranks save together are signed as others are, also in the grid form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ranks import ranks, together
from test_saving_together import encoded_in_pieces, halves, weights

pytest.importorskip("cryptography")

import saver
from saver.errors import SaverError, SignatureError
from saver.repo import grid, pages
from signed import private, public, text_of


@pytest.fixture(params=["listed", "grid"])
def form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    monkeypatch.setenv("SAVER_HEADS", str(tmp_path / "heads"))
    if request.param == "grid":
        monkeypatch.setattr(grid, "BOXES", 0)
        monkeypatch.setattr(grid, "PAGE_BOXES", 2)
        monkeypatch.setattr(pages, "TOGETHER", 3)
    encoded_in_pieces(monkeypatch)
    return str(request.param)


def save(folder: Path, array: Any, **more: Any) -> list[Any]:
    pieces, clusters = halves(array, 2), ranks(2)
    states = {id(each): {"w": piece, "step": 1} for each, piece in zip(clusters, pieces, strict=True)}
    return together(
        clusters, lambda each: saver.Saver(folder).save("net", states[id(each)], cluster=each, **more)
    )


def test_a_save_together_is_signed(form: str, tmp_path: Path) -> None:
    array = weights()
    save(tmp_path / "models", array, sign=private("alice"))
    store = saver.Saver(tmp_path / "models")
    assert (store._repo.outline(store.version("net@1")).pages != ()) == (form == "grid")
    assert store.verify("net@1", signed_by=public("alice")).signed_by == (text_of("alice"),)
    assert np.array_equal(store.load("net@1", signed_by=public("alice"))["w"], array)


def test_the_statement_is_the_same_in_both_forms(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path / "models", weights(1 << 22), sign=private("alice"))
    store = saver.Saver(tmp_path / "models")
    found = store.verify("net@1")
    monkeypatch.setattr(grid, "BOXES", 100_000 if form == "grid" else 0)
    store.push("net", tmp_path / "other")
    other = saver.Saver(tmp_path / "other")
    assert (other._repo.outline(other.version("net@1")).pages != ()) == (form != "grid")
    assert other.verify("net@1", signed_by=public("alice")) == found


def test_ranks_restore_only_what_was_signed(form: str, tmp_path: Path) -> None:
    array = weights()
    save(tmp_path / "models", array, sign=private("alice"))

    def restored(by: str) -> list[Any]:
        def act(cluster: Any) -> Any:
            into = {"w": np.zeros_like(array), "step": [0]}
            try:
                return saver.Saver(tmp_path / "models").restore(
                    "net@1", {"w": into["w"]}, strict=False, cluster=cluster, signed_by=public(by)
                ) and into["w"]  # fmt: skip
            except SaverError as error:
                return error

        return together(ranks(2), act)

    for found in restored("alice"):
        assert np.array_equal(found, array)
    for found in restored("bob"):
        assert isinstance(found, SignatureError), found


def test_with_roles_every_rank_needs_no_key_and_the_first_one_does(form: str, tmp_path: Path) -> None:
    store = saver.Saver(tmp_path / "models", sign=private("alice"))
    store.save("iris", [1])
    store.grant(public("bob"), "save")
    save(tmp_path / "models", weights(), sign=private("bob"))
    assert store.check().refused == ()
    for error in save(tmp_path / "models", weights()):
        assert "no key signs" in str(error)
    assert [version.number for version in store.versions("net")] == [1]
