"""What a server answers is what the model answers, however one asks."""

from __future__ import annotations

import gzip
import json
from typing import Any

import numpy as np
import pytest
from irises import X
from visits import Running

import saver


@pytest.fixture(scope="session")
def expected(ready_store: saver.Saver) -> dict[str, Any]:
    found = ready_store.predictor("iris@1").answer(X[:5])
    return {name: values.tolist() for name, values in found.items()}


def columns(answer: Any) -> dict[str, list[Any]]:
    rows = answer["predictions"]
    return {name: [row[name] for row in rows] for name in rows[0]}


@pytest.mark.parametrize("form", ["rows", "list", "form"])
def test_rows_of_json(shared: Running, expected: dict[str, Any], form: str) -> None:
    rows = X[:5].tolist()
    headers = {"content-type": "application/x-www-form-urlencoded"} if form == "form" else {}
    found = shared.ask("/predict/iris", rows if form == "list" else {"rows": rows}, headers)
    assert found.status == 200, found
    assert found.json["version"] == 1
    assert columns(found.json) == expected


def test_rows_of_csv(shared: Running, expected: dict[str, Any]) -> None:
    text = "\n".join(",".join(map(repr, map(float, row))) for row in X[:5])
    found = shared.ask("/predict/iris", text.encode(), {"content-type": "text/csv; charset=utf-8"})
    assert columns(found.json) == expected


def test_a_compressed_body(shared: Running, expected: dict[str, Any]) -> None:
    data = gzip.compress(json.dumps({"rows": X[:5].tolist()}).encode())
    found = shared.ask("/predict/iris", data, {"content-encoding": "gzip"})
    assert columns(found.json) == expected


def test_only_the_outputs_that_are_named(shared: Running, expected: dict[str, Any]) -> None:
    name = next(iter(expected))
    found = shared.ask(f"/predict/iris?outputs={name}", {"rows": X[:5].tolist()})
    assert columns(found.json) == {name: expected[name]}
    assert shared.ask("/predict/iris?outputs=nothing", {"rows": X[:5].tolist()}).status == 400


def test_what_does_not_fit_is_named_by_row_and_column(shared: Running) -> None:
    rows = X[:3].tolist()
    rows[1][2] = "three"
    found = shared.ask("/predict/iris", {"rows": rows})
    assert found.status == 422
    assert found.json["code"] == "bad-rows"
    (problem,) = found.json["problems"]
    assert problem["row"] == 1
    assert "[2]" in problem["column"]
    assert "number" in problem["wanted"]
    assert "three" in problem["came"]


def test_what_is_wrong_with_a_whole_column_has_no_row(shared: Running) -> None:
    found = shared.ask("/predict/iris", {"rows": []})
    assert [(each["row"], each["column"]) for each in found.json["problems"]] == [(None, "input")]


def test_the_example_of_openapi_is_answered(shared: Running) -> None:
    document = shared.ask("/openapi.json").json
    body = document["paths"]["/predict/iris"]["post"]["requestBody"]["content"]["application/json"]
    found = shared.ask("/predict/iris", body["example"])
    assert found.status == 200, found
    names = document["paths"]["/predict/iris"]["post"]["responses"]["200"]["content"]["application/json"]
    assert found.json["predictions"][0].keys() == (
        names["schema"]["properties"]["predictions"]["items"]["properties"].keys()
    )


def test_many_clients_at_once_get_each_their_own_rows(shared: Running, ready_store: saver.Saver) -> None:
    from concurrent.futures import ThreadPoolExecutor

    predictor = ready_store.predictor("iris@1")

    def one(at: int) -> None:
        rows = X[at : at + 1 + at % 3]
        found = columns(shared.ask("/predict/iris", {"rows": rows.tolist()}).json)
        for name, values in predictor.answer(rows).items():
            assert np.allclose(found[name], values, atol=1e-12)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(one, [at % 100 for at in range(300)]))


def test_a_request_id_comes_back_if_it_is_one(shared: Running) -> None:
    assert shared.ask("/models", headers={"x-request-id": "abc-1"}).headers["x-request-id"] == "abc-1"
    for strange in ("a b", "x" * 65, '"}{'):
        assert shared.ask("/models", headers={"x-request-id": strange}).headers["x-request-id"] != strange


def test_metrics_count_what_was_answered(shared: Running) -> None:
    shared.ask("/predict/iris", {"rows": X[:5].tolist()})
    shared.ask("/predict/iris", b"{")
    text = shared.ask("/metrics").data.decode()
    for name in (
        'saver_requests_total{model="iris",version="1",route="/predict/{name:path}",status="200"}',
        'saver_refusals_total{reason="bad-json",model=""}', 'saver_rows_total{model="iris"}',
        'saver_stage_seconds_bucket{stage="predict",model="iris",le="+Inf"}',
        'saver_batch_rows_count{model="iris"}', 'saver_workers{model="iris",version="1"} 1',
        'saver_drift_seen_total{model="iris",column="',
    ):  # fmt: skip
        assert name in text, text
    for line in text.splitlines():
        assert line.startswith("# ") or line.rpartition(" ")[2].replace(".", "").replace("e-", "").isdigit()
