"""The demo page in Chromium: it shows what is in a file, sends nothing, and runs nothing of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from javascript_reader import READER

import saver
from saver.training_log import TrainingLog

pytestmark = pytest.mark.xdist_group("javascript page")  # one browser looks at all files, for all tests

DRIVER = Path(__file__).with_name("page_driver.py")
EVIL = "<img src=x onerror='window.pwned=1'><script>window.pwned=2</script>"


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the page says of files, sound ones and others. Skips the test without Chromium or Playwright."""
    chromium = shutil.which("chromium")
    python = os.environ.get("SAVER_PLAYWRIGHT")
    if chromium is None or python is None:
        pytest.skip("needs chromium, and SAVER_PLAYWRIGHT: a Python with the package playwright")
    folder = tmp_path_factory.mktemp("page")
    write(folder)
    files = {path.name: str(path) for path in sorted(folder.iterdir())}
    job = {"folder": str(READER), "chromium": chromium, "files": files}
    done = subprocess.run(
        [python, str(DRIVER)], input=json.dumps(job), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def write(folder: Path) -> None:
    log = TrainingLog()
    for step in range(50):
        log.append(step, loss=1 / (step + 1))
    parts = {
        "weights": np.arange(600.0).reshape(20, 30),
        "settings": {"rate": 0.1, "names": ["a", "b"]},
        "log": log,
    }
    saver.dump(parts, folder / "run")
    raw = bytearray((folder / "run").read_bytes())
    raw[300] ^= 1
    for name, data in {
        "damaged": bytes(raw),
        "text": b"hello",
        "empty": b"",
        "html": EVIL.encode() * 100,
    }.items():
        (folder / name).write_bytes(data)
    deep: Any = 1
    for _ in range(149):
        deep = [deep]
    saver.dump(deep, folder / "deep")
    evil = {"p" + EVIL.replace("/", ""): {EVIL: [EVIL, {"a": np.zeros(200)}]}, "b": EVIL}
    saver.dump(evil, folder / "evil")


@pytest.mark.slow
def test_the_page_shows_what_is_in_a_file(found: dict[str, Any]) -> None:
    seen = found["files"]["run"]
    assert seen["error"] == ""
    for text in (
        "weights",
        "20 \u00d7 30",
        "rate",
        "0.1",
        "packages.numpy",
        "Every byte is what was written",
    ):
        assert text in seen["text"]
    assert any(label.startswith("Curve of loss. loss: 50 values, 1 at first") for label in seen["pictures"])
    assert any("600 values: 0 to 599" in label for label in seen["pictures"])


@pytest.mark.slow
def test_nothing_leaves_the_page_and_its_policy_is_kept(found: dict[str, Any]) -> None:
    assert found["requests"] == []
    assert found["console"] == []
    assert found["fetched"] is False


@pytest.mark.slow
def test_texts_of_a_file_are_only_texts(found: dict[str, Any]) -> None:
    seen = found["files"]["evil"]
    assert "onerror" in seen["text"]
    assert seen["pwned"] is None
    assert "img" not in seen["elements"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["damaged", "text", "empty", "html"])
def test_a_file_that_is_wrong_is_said_to_be(found: dict[str, Any], name: str) -> None:
    seen = found["files"][name]
    assert "cannot be shown" in seen["error"]
    assert (seen["text"], seen["status"]) == ("", "")
    assert name != "damaged" or "rule 1.05" in seen["error"]


@pytest.mark.slow
def test_a_file_as_deep_as_a_writer_makes_it_is_shown(found: dict[str, Any]) -> None:
    assert found["files"]["deep"]["error"] == ""


@pytest.mark.slow
def test_the_page_is_for_keyboards_and_for_dark_rooms(found: dict[str, Any]) -> None:
    assert found["first"] == "file"
    assert (found["light"], found["dark"]) == ("rgb(251, 251, 250)", "rgb(23, 25, 28)")


def test_the_policy_of_the_page_forbids_all_but_its_own_files() -> None:
    page = (READER / "demo" / "index.html").read_text()
    policy = page.split('content="', 1)[1].split('"', 1)[0]
    assert policy == (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'none'; base-uri 'none'; "
        "form-action 'none'"
    )
    for path in (READER / "demo").iterdir():
        text = path.read_text()
        text = text.replace("http://www.w3.org/2000/svg", "")
        assert not [word for word in ("http://", "https://", "innerHTML", "eval(") if word in text]
