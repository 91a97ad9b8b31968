"""Numbers reach a model with the bits that were sent, in whatever form they come, or are refused."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("msgspec")

from saver.predicting.reading import batches
from saver.schema import Field, Schema
from saver.serve.decoding import decode_csv, decode_json
from saver.serve.refusals import Refusal
from saver.serve.tensors import DATATYPES, read_inputs

WHOLE = [
    "0",
    "1",
    "10",
    "9007199254740991",
    "123456789012345678901",
    "340282346638528859811704183484516925440",
]
SPELLINGS = [
    "".join(parts)
    for parts in itertools.product(
        ["", "-"],
        WHOLE,
        ["", ".0", ".5", ".30000000000000004", ".000"],
        ["", "e0", "E-0", "e-5", "e-330", "E+2"],
    )
]
"""All ways to write some numbers in JSON."""
EXACT = [each for each in SPELLINGS if not each.lstrip("-").isdigit() or int(each) == float(each)]
"""Those that are no whole number which a double rounds."""

SCHEMA = Schema(inputs=(Field(name="x", dtype="float64", shape=(None,)),), container="array")
"""A row is one number."""


def of_v2(texts: list[str]) -> Any:
    tensor = f'{{"name": "x", "shape": [{len(texts)}], "datatype": "FP64", "data": [{",".join(texts)}]}}'
    return SCHEMA.check(read_inputs(decode_json(f'{{"inputs": [{tensor}]}}'.encode(), 9), b"", 10**6))


def of_file(folder: Path, ending: str, text: str) -> Any:
    path = folder / f"rows.{ending}"
    path.write_text(text)
    (batch,) = batches(SCHEMA, str(path), 10**6)
    return SCHEMA.check(batch.inputs)


def test_a_number_has_its_bits_in_every_form(tmp_path: Path) -> None:
    wanted = np.array([float(each) for each in EXACT])
    assert np.signbit(wanted[wanted == 0]).any()
    rows, lines = f"[{','.join(EXACT)}]", "\n".join(EXACT)
    forms = {
        "rows": SCHEMA.from_rows(decode_json(rows.encode(), 9)),
        "v2": of_v2(EXACT),
        "csv": SCHEMA.from_csv(decode_csv(f"x\n{lines}".encode(), 10**6)),
        "file of csv": of_file(tmp_path, "csv", f"x\n{lines}"),
        "file of json": of_file(tmp_path, "json", rows),
        "file of lines": of_file(tmp_path, "jsonl", lines),
    }
    for form, found in forms.items():
        assert found["x"].tobytes() == wanted.tobytes(), form


def test_texts_are_not_taken_for_numbers() -> None:
    for text in ("-0", 'a"-0', "\\-0", "[-0", "1e-0", "\\", '\\"'):
        for value in ({text: [text, -0.0, 1]}, [-0.0, text], [text, -0.0]):
            written = json.dumps(value).replace("-0.0", "-0")
            assert repr(decode_json(written.encode(), 9)) == repr(value)


@pytest.mark.parametrize("kind", [each for each in DATATYPES if each != "BOOL"])
def test_whole_numbers_of_tensors_are_exact_or_refused(kind: str) -> None:
    dtype = np.dtype(DATATYPES[kind])
    near = [base + step for power in range(130) for base in [1 << power] for step in (-1, 0, 1)]
    for value in [0, *near, *(-each for each in near)]:
        tensor = {"name": "x", "shape": [1], "datatype": kind, "data": [value]}
        with np.errstate(over="ignore"):
            holds = (
                np.float64(value).astype(dtype).item() == value
                if dtype.kind == "f"
                else np.iinfo(dtype).min <= value <= np.iinfo(dtype).max
            )
        if holds:
            assert read_inputs({"inputs": [tensor]}, b"", 9)["x"].tolist() == [value]
        else:
            with pytest.raises(Refusal, match=f"{kind}"):
                read_inputs({"inputs": [tensor]}, b"", 9)


@pytest.mark.parametrize("kind", ["FP16", "FP32"])
def test_a_number_of_a_tensor_does_not_become_infinite(kind: str) -> None:
    most = float(np.finfo(DATATYPES[kind]).max)
    for value in (most, -most):
        tensor = {"name": "x", "shape": [1], "datatype": kind, "data": [value]}
        assert read_inputs({"inputs": [tensor]}, b"", 9)["x"].tolist() == [value]
        with pytest.raises(Refusal, match=f"too large for {kind}"):
            read_inputs({"inputs": [{**tensor, "data": [value * 2]}]}, b"", 9)


@pytest.mark.parametrize("kind", [each for each in DATATYPES if "INT" in each])
def test_a_zero_of_whole_numbers_has_no_sign(kind: str) -> None:
    tensor = decode_json(b'{"name": "x", "shape": [2], "datatype": "%s", "data": [-0, 7]}' % kind.encode(), 9)
    assert read_inputs({"inputs": [tensor]}, b"", 9)["x"].tolist() == [0, 7]
    with pytest.raises(Refusal):
        read_inputs({"inputs": [{**tensor, "data": [0.5, 7]}]}, b"", 9)


def test_lines_are_counted_however_they_end() -> None:
    for ends in itertools.product(["\n", "\r", "\r\n"], repeat=4):
        text = "".join(f"{at}.5{end}" for at, end in enumerate(ends))
        assert len(SCHEMA.from_csv(decode_csv(text.encode(), 3))["x"]) == 4  # the first may be a header
        with pytest.raises(Refusal, match="more than 2 lines"):
            decode_csv(text.encode(), 2)
