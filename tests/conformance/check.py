# ruff: noqa: E501
"""Holds a program to the cases: python tests/conformance/check.py [--layers 1,2,3] [--stdin] PROGRAM ARGUMENTS…"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent


def cases(layers: set[int] | None = None) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((FOLDER / "cases.json").read_text())
    return [case for case in found if layers is None or case["layer"] in layers]


def arguments(case: dict[str, Any]) -> list[str]:
    """What a program is called with."""
    found = [str(FOLDER / case["file"])]
    if "open" in case or "key" in case:
        found.append(case.get("open", ""))
    return found + ([str(FOLDER / case["key"])] if "key" in case else [])


def agrees(case: dict[str, Any], found: dict[str, Any], by_rule: bool = True) -> bool:
    """Whether this is the right answer."""
    if case["verdict"] == "invalid":
        return found.get("verdict") == "invalid" and (not by_rule or found.get("rule") == case["rule"])
    expected = json.loads((FOLDER / case["expected"]).read_text())
    return all(found.get(key) == value for key, value in expected.items())


def answers(program: list[str], chosen: list[dict[str, Any]], stdin: bool) -> Iterator[dict[str, Any]]:
    """What a program says of each case."""
    if stdin:
        lines = "".join("\t".join(arguments(case)) + "\n" for case in chosen)
        text = subprocess.run(
            [*program, "--stdin"], input=lines, capture_output=True, text=True, check=False
        ).stdout
        yield from map(json.loads, text.splitlines())
        return
    for case in chosen:
        text = subprocess.run(
            [*program, *arguments(case)], capture_output=True, text=True, check=False
        ).stdout
        try:
            yield json.loads(text)
        except ValueError:
            yield {"verdict": "crashed", "text": text[-200:]}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", default="")
    parser.add_argument("--stdin", action="store_true")
    parser.add_argument("program", nargs=argparse.REMAINDER)
    given = parser.parse_args()
    chosen = cases({int(layer) for layer in given.layers.split(",")} if given.layers else None)
    wrong = 0
    for case, found in zip(chosen, answers(given.program, chosen, given.stdin), strict=True):
        if found.get("verdict") != "unsupported" and not agrees(case, found):
            wrong += 1
            print(f"{case['file']}: {case.get('rule', 'valid')}, not {found.get('rule')} {found['verdict']}")
    print(f"{len(chosen)} cases, {wrong} wrong")
    return wrong > 0


if __name__ == "__main__":
    sys.exit(main())
