"""The pages of curves, and what is new in them while a run trains."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
pytest.importorskip("jinja2")

from charting import Visitor, visiting

import saver
from saver.training_log import TrainingLog

EVIL = "<img src=x onerror=alert(1)>'\"&"


def grown(log: TrainingLog, count: int) -> TrainingLog:
    first = log.last.get("step", -1) + 1
    for step in range(first, first + count):
        log.append(step, loss=float("inf") if step == 3 else 1 / (step + 1), **{EVIL: step})
    return log


@pytest.fixture
def store(tmp_path: Path) -> saver.Saver:
    found, log = saver.Saver(tmp_path), TrainingLog()
    for _ in range(2):
        found.save("run-7", {"log": grown(log, 20)}, step=log.last["step"])
    log.mark(EVIL, 4, EVIL)
    found.save("team/run-8", {"log": log}, notes=EVIL)
    found.save("plain", {"w": [1]})
    return found


@pytest.fixture
def visitor(store: saver.Saver) -> Iterator[Visitor]:
    with visiting(store) as found:
        yield found


def test_curves_of_several_runs_as_a_page_and_as_json(visitor: Visitor) -> None:
    path = "/curves/run-7?with=team/run-8&with=run-7@1"
    found = visitor.document(path)
    assert found["schema"] == "saver.curves.1"
    assert [(each["run"], each["ref"], each["rows"]) for each in found["runs"]] == [
        ("run-7", "run-7@2", 40), ("team/run-8", "team/run-8@1", 40), ("run-7@1", "run-7@1", 20),
    ]  # fmt: skip
    loss = found["panels"][0]["curves"][0]
    assert loss["values"][3] == "inf"
    assert loss["not_finite"] == 1
    assert loss["points"] == 40
    status, page, headers = visitor.get(path)
    assert status == 200
    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert not re.search(r"<img src=x|style=", page)
    assert page.count('<tr class="curve">') == 6
    assert "uPlot.js" in page
    assert "stroke-dasharray" in page
    assert ">inf<" in page


def test_a_part_of_the_steps_and_one_metric(visitor: Visitor) -> None:
    found = visitor.document("/curves/run-7?metric=loss&low=10&high=12&columns=50")
    (panel,) = found["panels"]
    assert panel["curves"][0]["steps"] == [9, 10, 11, 12, 13]
    assert panel["curves"][0]["points"] == 40
    assert (found["low"], found["high"], found["columns"]) == (10, 12, 50)


def test_the_form_leads_to_the_curves(visitor: Visitor) -> None:
    status, page, _ = visitor.get("/curves")
    assert status == 200
    assert '<option value="team/run-8">' in page
    status, _, headers = visitor.get("/curves?run=run-7&run=team/run-8&run=")
    assert (status, headers["location"]) == (303, "/curves/run-7?with=team%2Frun-8")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/curves/nope", 404),
        ("/curves/plain", 404),
        ("/curves/run-7?metric=nope", 404),
        ("/curves/run-7?low=x", 400),
        ("/curves/run-7?columns=-1", 400),
        ("/curves/run-7?" + "&".join(f"with=m{n}" for n in range(21)), 400),
        ("/curves/run-7?with=..%2f..", 400),
        ("/curves-live/run-7", 400),
        ("/curves-live/run-7?have=plain@1", 400),
        ("/curves-live/run-7?have=%00", 400),
    ],
)
def test_what_cannot_be_shown_is_said(visitor: Visitor, path: str, status: int) -> None:
    found, body, _ = visitor.get(path)
    assert found == status
    assert "Traceback" not in body
    assert "<img" not in body.replace('<img src="/static', "")


def test_what_is_new_comes_to_an_open_page(store: saver.Saver, visitor: Visitor, tmp_path: Path) -> None:
    with visitor.stream("/curves-live/run-7?with=team/run-8&have=run-7@1&have=-") as events:
        (name, first), (_, second) = next(events), next(events)
        assert name == "update"
        assert {first["runs"][0]["ref"], second["runs"][0]["ref"]} == {
            "run-7@2",
            "team/run-8@1",
        }
        log = store.load("run-7")["log"]
        writer = saver.Saver(tmp_path)
        writer.save("run-7", {"log": grown(log, 5)})
        name, found = next(events)
        assert (name, found["since"], found["runs"][0]["rows"]) == ("update", "run-7@2", 45)
        assert {curve["metric"] for _, curve in found["curves"]} == {"loss", EVIL}


def test_open_streams_end_when_the_server_ends(store: saver.Saver) -> None:
    with visiting(store) as visitor:
        opened = visitor.stream("/curves-live/run-7?have=run-7@2")
        opened.__enter__()
        begun = time.monotonic()
    assert time.monotonic() - begun < 15
    opened.__exit__(None, None, None)


def test_ctrl_c_ends_a_server_with_open_streams(store: saver.Saver, tmp_path: Path) -> None:
    import signal

    command = [sys.executable, "-m", "saver", "ui", str(tmp_path), "--no-browser", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = next(line for line in process.stdout if '"address"' in line)
            found = re.search(r"http://[0-9.:]+", line)
            assert found is not None
            with Visitor(found[0]).stream("/curves-live/run-7?have=-") as events:
                assert next(events)[0] == "update"
                process.send_signal(signal.SIGINT)
                assert process.wait(20) == 0
        finally:
            process.kill()
