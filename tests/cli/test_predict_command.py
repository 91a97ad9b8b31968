"""`saver predict` and `saver check --predict`, as one types them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from running import document_of, run

import saver
from saver import documents

X = np.arange(60.0).reshape(20, 3)

shift = 0.0


def summed(parts: Any, batch: Any) -> Any:
    return {"sum": batch.sum(axis=1) + shift}


TRUST = ("--trust", f"{__name__}.summed")


@pytest.fixture(autouse=True)
def _models() -> None:
    store = saver.Saver("models")
    store.save("net", {"w": 1}, example=saver_example(), pipeline=summed)
    store.save("plain", [1])
    saver.dump({"w": 1}, "net.saver", example=X, pipeline=summed)
    np.save("data.npy", X)


def saver_example() -> Any:
    from saver.predicting import Example

    return Example(X, units={"sum": "m"}, descriptions={"input": "three\x1b[2Jlengths"})


@pytest.mark.parametrize("ref", ["net", "net@1", "net.saver"])
def test_rows_of_a_file_are_answered(ref: str) -> None:
    done = run("predict", ref, "data.npy", "-o", "out.csv", *TRUST)
    assert done.exit_code == 0, done.output
    assert "20 rows" in done.output
    assert Path("out.csv").read_text().splitlines() == ["sum", *map(str, X.sum(axis=1).tolist())]
    again = run("predict", ref, "data.npy", "-o", "out.csv", *TRUST)
    assert again.exit_code == 4
    assert "--force" in again.stderr
    found = document_of(run("predict", ref, "data.npy", "-o", "out.csv", "--force", "--json", *TRUST))
    assert isinstance(found, documents.Scored)
    assert (found.rows, found.resumed, found.target) == (20, 0, "out.csv")


REFUSED = {
    "nothing": (("predict", "other", "data.npy", "-o", "out.csv"), 3),
    "no schema": (("predict", "plain", "data.npy", "-o", "out.csv"), 3),
    "no data": (("predict", "net", "other.npy", "-o", "out.csv"), 2),
    "no target": (("predict", "net", "data.npy"), 2),
    "not trusted": (("predict", "net", "data.npy", "-o", "out.csv"), 4),
    "no such output": (("predict", "net", "data.npy", "-o", "out.csv", "--only", "other", *TRUST), 2),
    "another ending": (("predict", "net", "data.npy", "-o", "out.txt", *TRUST), 2),
    "refs of a check of bytes": (("check", "net"), 2),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_one_line(name: str) -> None:
    arguments, code = REFUSED[name]
    done = run(*arguments)
    assert done.exit_code == code, done.output
    assert not list(Path().glob("out.*"))
    assert "Traceback" not in done.output


def test_data_that_is_not_what_its_ending_says_is_one_line() -> None:
    with open("archive.npy", "wb") as file:
        np.savez(file, X)
    Path("digits.json").write_text(f"[[1, 2, {'9' * 5000}]]")
    Path("comma.json").write_text("[[1, 2, 3] [4, 5, 6]]")
    for data in ("archive.npy", "digits.json", "comma.json"):
        done = run("predict", "net", data, "-o", "out.csv", *TRUST)
        assert done.exit_code not in (0, 1), done.output
        assert data in done.stderr
        assert "Traceback" not in done.output
        assert not list(Path().glob("out.*"))


def test_golden_predictions_are_checked_and_a_difference_is_a_finding(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done = run("check", "--predict", *TRUST)
    assert done.exit_code == 0, done.output
    assert "20 of 20 identical" in done.output
    assert "plain" in done.output
    found = document_of(run("check", "--predict", "--json", *TRUST))
    assert isinstance(found, documents.CheckedPredictions)
    assert (found.predicted[0].identical, found.without) == (20, ("plain@latest",))
    monkeypatch.setattr(f"{__name__}.shift", 0.5)
    for ref in ("net", "net.saver"):
        done = run("check", "--predict", ref, *TRUST)
        assert done.exit_code == 1
        assert "0 of 20 identical: sum differs in 20 rows by at most 0.5" in done.output
        found = document_of(run("check", "--predict", ref, "--json", *TRUST))
        assert isinstance(found, documents.CheckedPredictions)
        assert not found.predicted[0].same
        assert found.predicted[0].differing[0].largest == 0.5


def test_a_version_without_an_example_that_is_named_is_an_error() -> None:
    assert run("check", "--predict", "plain").exit_code == 3


def test_show_says_what_goes_in_and_what_comes_out() -> None:
    done = run("show", "net")
    for text in (
        "Goes in",
        "Comes out",
        "input",
        "float64 (rows, 3)",
        "0 … 59",
        "20 rows, exactly",
        "summed",
    ):
        assert text in done.output
    assert "\x1b" not in done.output
    found = document_of(run("show", "net.saver", "--json"))
    assert isinstance(found, documents.Description)
    assert found.predictions is not None
    assert found.predictions.schema.inputs[0].shape == (None, 3)
    assert found.predictions.schema.inputs[0].seen.high == 59
    plain = document_of(run("show", "plain", "--json"))
    assert isinstance(plain, documents.Description)
    assert plain.predictions is None
