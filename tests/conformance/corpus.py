# ruff: noqa: E501
"""Writes `valid/`, `invalid/`, `cases.json` and `rules.json`: python tests/conformance/corpus.py

The files are made from docs/format/ alone; of Saver, only the table of rules is used. The same files come out each time.
"""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import layer1
import layer2
import layer3
import layer4
import layer5
import layer6
from neutral import neutral

FOLDER = Path(__file__).parent
LAYERS: dict[int, Any] = {1: layer1, 2: layer2, 3: layer3, 4: layer4, 6: layer6}


def rules() -> dict[str, str]:
    """The table of rules, without the rest of Saver."""
    path = FOLDER.parents[1] / "src" / "saver" / "rules.py"
    spec = importlib.util.spec_from_file_location("rules_of_saver", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return dict(module.RULES)


def cases() -> list[tuple[dict[str, Any], bytes | dict[str, bytes]]]:
    """Each case, as cases.json has it, and the bytes of its file, or of the objects of its store."""
    found: list[tuple[dict[str, Any], bytes | dict[str, bytes]]] = []
    for layer, module in LAYERS.items():
        for name, rule, data, what in (*module.valid(), *module.invalid()):
            verdict = "valid" if rule is None else "invalid"
            prefix = f"{layer}" if rule is None else rule
            plain = re.sub(r"[^a-zA-Z0-9.]+", "-", name)
            file = f"{verdict}/{prefix}-{plain}.saver"
            case: dict[str, Any] = {"file": file, "layer": layer, "verdict": verdict, "what": what}
            case |= {"expected": f"valid/{prefix}-{plain}.json"} if rule is None else {"rule": rule}
            if "sealed" in name or rule in ("6.02", "6.03", "6.04"):
                case["key"] = "keys/identity.txt"
            found.append((case, data))
    return found + stores()


def stores() -> list[tuple[dict[str, Any], bytes | dict[str, bytes]]]:
    """The same of stores."""
    found: list[tuple[dict[str, Any], bytes | dict[str, bytes]]] = []
    for name, version, objects, what in layer5.valid():
        case = {"file": f"valid/5-{name}", "layer": 5, "open": version, "verdict": "valid", "what": what}
        found.append((case | {"expected": f"valid/5-{name}.json"}, objects))
    for name, rule, objects, what in layer5.invalid():
        version = "m@2" if "file" in name else "m@1"
        case = {
            "file": f"invalid/{rule}-{name}",
            "layer": 5,
            "open": version,
            "verdict": "invalid",
            "what": what,
        }
        found.append((case | {"rule": rule}, objects))
    return found


def expected(case: dict[str, Any], data: bytes | dict[str, bytes]) -> dict[str, Any]:
    """What a valid file, or version, holds."""
    if isinstance(data, dict):
        return layer5.expected(case["file"].endswith("shards"))
    return neutral(layer6.plain() if case["file"] in CONTAINERS else data)


CONTAINERS = ("valid/6-sealed.saver", "valid/6-compressed.saver")


def write(folder: Path) -> None:
    """All of it, into this folder."""
    for name in ("valid", "invalid"):
        shutil.rmtree(folder / name, ignore_errors=True)
        (folder / name).mkdir(parents=True)
    listed = []
    for case, data in cases():
        path = folder / case["file"]
        assert not path.exists(), path
        for place, content in data.items() if isinstance(data, dict) else [("", data)]:
            (path / place if place else path).parent.mkdir(parents=True, exist_ok=True)
            (path / place if place else path).write_bytes(content)
        if "expected" in case:
            holds = expected(case, data)
            text = json.dumps(holds, indent=1)
            (folder / case["expected"]).write_text(text + "\n")
        listed.append(case)
    lines = ",\n".join(json.dumps(case) for case in listed)
    (folder / "cases.json").write_text(f"[\n{lines}\n]\n")
    (folder / "rules.json").write_text(json.dumps(rules(), indent=1) + "\n")


if __name__ == "__main__":
    sys.setrecursionlimit(20_000)
    write(FOLDER)
