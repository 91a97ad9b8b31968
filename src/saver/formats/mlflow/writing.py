"""What a model folder of MLflow consists of beside the model: how it is loaded, in which environment."""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Mapping
from typing import Any

from saver import environment
from saver.opened import Opened
from saver.tree import Node, Reference

MODEL = "model.saver"
_LOADER = "saver.integrations.mlflow"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_VERSION = re.compile(r"[0-9][A-Za-z0-9.!]{0,39}")
_NUMBERS = re.compile(r"bool|u?int(8|16|32|64)|float(16|32|64)|complex(64|128)")
_WIDTHS = ("n_features_in_", "_n_features_in")
"""Where estimators keep how many columns they were fitted on."""

_STEPS = 20


def files(opened: Opened, part: str) -> dict[str, str]:
    """The texts beside the model, by their names."""
    found = opened.manifest.environment
    python = str(found.get("python", ""))
    python = python if _VERSION.fullmatch(python) else platform.python_version()
    needed = _requirements(found.get("packages", {}))
    return {
        "requirements.txt": "".join(f"{each}\n" for each in needed),
        "conda.yaml": "\n".join((
            "name: mlflow-env", "channels:", "- conda-forge", "dependencies:", f"- python={python}", "- pip",
            "- pip:", *(f"  - {each}" for each in needed), "",
        )),
        "python_env.yaml": "\n".join((
            f"python: {python}", "build_dependencies:", "- pip", "dependencies:", "- -r requirements.txt", "",
        )),
        "MLmodel": "\n".join((
            "flavors:", "  python_function:", f"    data: {MODEL}", "    env:",
            "      conda: conda.yaml", "      virtualenv: python_env.yaml",
            f"    loader_module: {_LOADER}", f"    python_version: {python}",
            *_signature(opened, part), "",
        )),
    }  # fmt: skip


def _requirements(packages: Any) -> list[str]:
    """What pip installs: of what a file says, only what can be a package and a version."""
    versions = packages if isinstance(packages, Mapping) else {}
    found = {"saver": environment.package_version("saver") or "", **versions}
    pinned = []
    for name, version in sorted(found.items()):
        public = str(version).partition("+")[0]  # what follows a + is of one machine's build
        if _NAME.fullmatch(name) and _VERSION.fullmatch(public):
            pinned.append(f"{environment.distribution(name)}=={public}")
    return ["mlflow", *pinned]


def _signature(opened: Opened, part: str) -> list[str]:
    """What goes in: the columns that the model was fitted on, or that the recorded training data has, or the
    shape and dtype of the array that it is.

    Columns have no types, since MLflow would refuse whole numbers where the model takes them for floats.
    """
    state = _first(opened, opened.tree(part).root)
    names = _columns(state)
    inputs = _named(names) if names else _recorded(opened, state)
    if not inputs:
        return []
    return ["signature:", f"  inputs: {json.dumps(json.dumps(inputs))}", "  outputs: null"]


def _named(names: list[str]) -> list[dict[str, Any]]:
    return [{"type": "any", "name": name, "required": True} for name in names]


def _recorded(opened: Opened, state: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What the recorded training data says, unless the model was fitted on another number of columns."""
    data = opened.manifest.data.get("data")
    shape = data.get("shape") if isinstance(data, Mapping) else None
    if not isinstance(data, Mapping) or type(shape) is not list or len(shape) < 2:
        return []
    width = next((state[each] for each in _WIDTHS if each in state), shape[1])
    if any(type(size) is not int for size in shape) or width != shape[1]:
        return []
    columns, dtype = data.get("columns"), str(data.get("dtype"))
    if data.get("kind") == "frame" and type(columns) is list:
        return _named([str(each.get("name")) for each in columns if type(each) is dict])
    if data.get("kind") == "array" and _NUMBERS.fullmatch(dtype):
        return [{"type": "tensor", "tensor-spec": {"dtype": dtype, "shape": [-1, *shape[1:]]}}]
    return []


def _first(opened: Opened, value: Any, depth: int = 0) -> dict[str, Any]:
    """The state of an estimator, or of the first one of a pipeline; empty for anything else."""
    node = opened.nodes.get(value.id) if type(value) is Reference else value
    state = node.state if type(node) is Node else None
    if type(state) is not dict or depth > _STEPS:
        return {}
    steps = None if _columns(state) else state.get("steps")
    first = steps.state[0] if type(steps) is Node and type(steps.state) is list and steps.state else None
    if type(first) is Node and type(first.state) is list and len(first.state) == 2:
        return _first(opened, first.state[1], depth + 1)
    return state


def _columns(state: Mapping[str, Any]) -> list[str]:
    """The names of the columns that an estimator was fitted on."""
    held = state.get("feature_names_in_")
    items = held.state.get("items") if type(held) is Node and type(held.state) is dict else None
    if type(items) is list and all(type(item) is str for item in items):
        return items
    return []
