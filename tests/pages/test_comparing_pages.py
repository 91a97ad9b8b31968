"""The pages on which versions are compared."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
pytest.importorskip("jinja2")

from charting import Visitor, visiting

import saver
from saver.pages.comparing import acts, computing
from saver.pages.comparing.jobs import Jobs, jobs_of
from saver.pages.comparing.layers import layers

EVIL = "<script>alert(1)</script>\u202e'\"&"


@pytest.fixture
def store(tmp_path: Path) -> saver.Saver:
    found = saver.Saver(tmp_path)
    table = np.arange(600.0).reshape(20, 30)
    for turn in range(3):
        table = table + turn
        odd = table.copy()
        odd[0, :3] = [np.nan, np.inf, -np.inf]
        found.save(
            "m",
            {"net": {"w": table, "odd": odd, "same": np.ones(40)}, "rate": 0.1 * turn},
            metrics={"loss": 1.0 / (turn + 1), "bad": float("nan")},
            notes=EVIL * turn,
        )
    return found


@pytest.fixture
def visitor(store: saver.Saver) -> Iterator[Visitor]:
    with visiting(store) as found:
        yield found


def test_a_comparison_has_everything_side_by_side(visitor: Visitor) -> None:
    found = visitor.document("/compare/m@1?with=m@2&with=m@3&layer=net/odd")
    assert (found["schema"], found["versions"]) == ("saver.comparison.1", ["m@1", "m@2", "m@3"])
    assert found["finished"]
    assert found["done"] == found["total"] > 0
    assert {each["path"] for each in found["layers"]} == {"net/w", "net/odd", "net/same"}
    layer = next(each for each in found["layers"] if each["path"] == "net/odd")
    assert [(w["nan"], w["above"], w["below"]) for w in layer["weights"]] == [(1, 1, 1)] * 3
    assert layer["weights"][1]["change"]["largest"] == 1.0
    assert next(each for each in found["metrics"] if each["name"] == "bad")["values"] == ["nan"] * 3
    assert {each["path"] for each in found["hyperparameters"] if each["differs"]} == {"rate.value"}
    assert len(found["heat"]["maps"]) == 3
    assert len(found["heat"]["maps"][0]["cells"]) == 20


def test_the_page_shows_what_the_document_has_and_escapes_it(visitor: Visitor) -> None:
    status, page, headers = visitor.get("/compare/m@1?with=m@3&layer=net/w")
    assert status == 200
    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert "alert(1)" in page
    assert "<script>alert" not in page
    assert "\u202e" not in page
    assert not re.search(r"\son\w+=|style=|<script(?! src=)", page)
    assert page.count('class="histogram"') == 5  # the third layer is the same in both versions
    assert "the same as" in page
    assert "1 nan" in page
    assert "1 inf" in page
    assert "1 -inf" in page
    assert page.count('class="heat"') == 2


def test_the_form_leads_to_the_comparison(visitor: Visitor) -> None:
    status, page, _ = visitor.get("/compare")
    assert status == 200
    assert 'name="of"' in page
    assert '<option value="m">' in page
    status, _, headers = visitor.get("/compare?of=m@1&of=&of=m@2&of=m@x/y")
    assert (status, headers["location"]) == (303, "/compare/m@1?with=m%402&with=m%40x%2Fy")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/compare/m@1", 400),
        ("/compare/m@1?" + "&".join(f"with=m@{n}" for n in range(2, 8)), 400),
        ("/compare/m@1?with=m@77", 404),
        ("/compare/m@1?with=../../etc/passwd@1", 400),
        ("/compare/%2e%2e%2f@1?with=m@1", 400),
        ("/compare/m@1?with=m@2&layer=nothing", 404),
        ("/compare/m@1?with=m@2&start=minus", 400),
        ("/compare-progress/m@1", 400),
    ],
)
def test_what_cannot_be_compared_is_said(visitor: Visitor, path: str, status: int) -> None:
    found, body, headers = visitor.get(path)
    assert found == status
    assert "content-security-policy" in headers
    assert "Traceback" not in body


def test_layers_are_found_and_paged(visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acts, "LAYERS", 2)
    first = visitor.document("/compare/m@1?with=m@2")
    rest = visitor.document("/compare/m@1?with=m@2&start=2")
    assert [len(each["layers"]) for each in (first, rest)] == [2, 1]
    assert first["found"] == rest["found"] == 3
    assert [each["path"] for each in visitor.document("/compare/m@1?with=m@2&find=ODD")["layers"]] == [
        "net/odd"
    ]
    assert visitor.document(f"/compare/m@1?with=m@2&find={'x' * 900}")["layers"] == []
    assert "More layers" in visitor.get("/compare/m@1?with=m@2")[1]


def test_damaged_weights_are_said_beside_what_is_well(store: saver.Saver, tmp_path: Path) -> None:
    big = np.arange(50_000.0)
    for turn in range(2):
        store.save("d", {"w": big + turn}, metrics={"turn": turn})
    pack = max((tmp_path / "packs").iterdir(), key=lambda each: each.stat().st_mtime)
    data = bytearray(pack.read_bytes())
    data[-8] ^= 1
    pack.chmod(0o600)
    pack.write_bytes(data)
    with visiting(saver.Saver(tmp_path)) as visitor:
        found = visitor.document("/compare/d@1?with=d@2")
        assert "not those that were saved" in found["trouble"]
        assert found["layers"] == []
        assert found["metrics"][0]["values"] == [0, 1]
        assert "not those that were saved" in visitor.get("/compare/d@1?with=d@2")[1]


class Slow:
    """Lets a comparison take long: each piece waits for `go`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.go, self.begun = threading.Event(), threading.Event()
        even = computing.even

        def slowly(*given: Any) -> Iterator[Any]:
            for piece in even(*given):
                self.begun.set()
                self.go.wait(20)
                yield piece

        monkeypatch.setattr(computing, "even", slowly)
        monkeypatch.setattr(acts, "WAIT", 0)


def test_progress_comes_until_the_end_and_then_the_page_has_all(
    visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Slow(monkeypatch)
    path = "/compare/m@1?with=m@2"
    status, page, _ = visitor.get(path)
    assert status == 200
    assert 'data-progress="/compare-progress/m@1?with=m%402&amp;start=0"' in page
    document = visitor.document(path)
    assert not document["finished"]
    assert document["layers"] == []
    assert document["metrics"]
    with visitor.stream("/compare-progress/m@1?with=m@2") as events:
        name, found = next(events)
        assert name == "progress"
        assert found["done"] < found["total"] == document["total"]
        slow.go.set()
        assert [name for name, _ in events][-1] == "ended"
    assert visitor.document(path)["finished"]
    assert "data-progress" not in visitor.get(path)[1]


def test_a_comparison_ends_when_its_reader_leaves(
    store: saver.Saver, visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    from saver.pages.comparing import jobs

    monkeypatch.setattr(jobs, "IDLE", 0.2)
    slow = Slow(monkeypatch)
    with visitor.stream("/compare-progress/m@1?with=m@3") as events:
        next(events)
        assert slow.begun.wait(20)
        time.sleep(0.5)  # longer than a comparison goes on that nobody waits for
        (job,) = jobs_of(store)._jobs.values()
    slow_end = time.monotonic() + 20
    while job._waiting and time.monotonic() < slow_end:
        time.sleep(0.01)
    job._asked -= 10
    slow.go.set()
    assert job._ended.wait(20)
    assert job.stopped
    assert job.result is None
    assert visitor.document("/compare/m@1?with=m@3&wait=2")["versions"] == ["m@1", "m@3"]  # it begins anew


def test_the_same_comparison_is_computed_once(store: saver.Saver) -> None:
    views = [store._open(f"m@{n}") for n in (1, 2)]
    jobs = Jobs()
    found = {id(jobs.job(views, layers(views))) for _ in range(5)}
    assert len(found) == 1
    for n in range(40):
        jobs.job(views, layers(views)[: n % 3])
    assert len(jobs._jobs) <= 16


def test_versions_with_nothing_in_common_and_ten_thousand_parts(tmp_path: Path) -> None:
    store = saver.Saver(tmp_path)
    store.save("many", {f"{EVIL}{n}": np.arange(3.0) + n for n in range(10_000)})
    store.save("few", {"other": [1, 2], "x": np.zeros((2, 0))})
    with visiting(store) as visitor:
        status, page, _ = visitor.get("/compare/many@1?with=few@1")
        assert status == 200
        assert "<script>alert" not in page
        assert len(page) < 4_000_000
        found = visitor.document("/compare/many@1?with=few@1&start=9900")
        assert found["found"] == 10_001
        assert len(found["layers"]) == 101
        assert found["layers"][0]["weights"][1] is None
