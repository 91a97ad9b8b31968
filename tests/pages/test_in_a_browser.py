"""The pages in a real Chromium: no error in its console, nothing that axe finds; by keyboard, narrow, dark.

With $SAVER_PICTURES, a folder, also the pictures of the README are made there.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from nets import filled, pictured, running
from test_hostile_pages import PAGES, hostile
from visiting import Visitor

BROWSER = Path(__file__).with_name("browse.py")
SEEN = {
    "models": "/", "model": "/model/team/net", "version": "/version/team/net@3", "history": "/log",
    "health": "/health", "delete": "/delete/team/net@3", "card": "/card/team/net@3", "missing": "/nothing",
}  # fmt: skip

pytestmark = pytest.mark.slow


def axe() -> str:
    """The path of axe-core; "" where it is missing."""
    for folder in os.environ.get("NODE_PATH", "").split(os.pathsep):
        path = Path(folder) / "axe-core" / "axe.min.js"
        if folder and path.is_file():
            return str(path)
    return ""


def browse(address: str, pages: dict[str, str], **given: Any) -> dict[str, Any]:
    """What the browser finds."""
    python = os.environ.get("SAVER_PLAYWRIGHT") or (sys.executable if find_spec("playwright") else "")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not python or not chromium:
        pytest.skip(
            "Playwright, here or in the environment of $SAVER_PLAYWRIGHT, or chromium is not installed"
        )
    order = {"address": address, "chromium": chromium, "pages": pages, "axe": axe(), "pictures": ""}
    text = json.dumps({**order, "act": False, "once": False, **given})
    done = subprocess.run([python, str(BROWSER), text], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


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
