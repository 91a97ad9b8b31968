"""The pages in a real Chromium: no error in its console, nothing that axe finds; by keyboard, narrow, dark.

With $SAVER_PICTURES, a folder, also the pictures of the README are made there.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from browsing import axe, browse
from nets import filled, pictured, running
from test_hostile_pages import PAGES, hostile
from visiting import Visitor

SEEN = {
    "models": "/", "model": "/model/team/net", "version": "/version/team/net@3", "history": "/log",
    "health": "/health", "delete": "/delete/team/net@3", "card": "/card/team/net@3", "missing": "/nothing",
}  # fmt: skip

pytestmark = pytest.mark.slow


def test_people_find_their_way(tmp_path: Path) -> None:
    with running(filled(tmp_path / "store")) as one:
        found = browse(one.pages.address, SEEN, act=True)
    missing = [each for each in found["troubles"] if "/nothing" in each and "404" in each]
    assert [each for each in found["troubles"] if each not in missing] == []


def test_pictures_for_the_readme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = os.environ.get("SAVER_PICTURES")
    if not folder:
        pytest.skip("$SAVER_PICTURES names no folder to make pictures in: docs/images is that of the README")
    target = str(Path(folder).absolute())
    monkeypatch.chdir(tmp_path)
    with running(pictured()) as one:
        seen = {"models": "/", "version": "/version/fraud/net@7"}
        assert browse(one.pages.address, seen, pictures=target)["troubles"] == []


def test_pages_are_for_everybody() -> None:
    if not axe():
        pytest.skip("the package axe-core of npm is not below $NODE_PATH, so nothing judges the pages")


def test_a_hostile_store_runs_nothing(hostile: Visitor) -> None:
    with running(hostile.store) as one:
        found = browse(one.pages.address, {str(number): path for number, path in enumerate(PAGES)}, axe="")
    assert found["troubles"] == []


__all__ = ["hostile"]
