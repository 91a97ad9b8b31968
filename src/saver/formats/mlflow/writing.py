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
    """The names of the columns, if the model was fitted on named ones. Their types are not recorded."""
    names = _columns(opened, opened.tree(part).root)
    if not names:
        return []
    columns = [{"type": "any", "name": name, "required": True} for name in names]
    return ["signature:", f"  inputs: {json.dumps(json.dumps(columns))}", "  outputs: null"]


def _columns(opened: Opened, value: Any, depth: int = 0) -> list[str]:
    """The columns of an estimator, or of the first one of a pipeline."""
    node = opened.nodes.get(value.id) if type(value) is Reference else value
    state = node.state if type(node) is Node else None
    if type(state) is not dict or depth > _STEPS:
        return []
    held = state.get("feature_names_in_")
    items = held.state.get("items") if type(held) is Node and type(held.state) is dict else None
    if type(items) is list and all(type(item) is str for item in items):
        return items
    steps = state.get("steps")
    first = steps.state[0] if type(steps) is Node and type(steps.state) is list and steps.state else None
    if type(first) is Node and type(first.state) is list and len(first.state) == 2:
        return _columns(opened, first.state[1], depth + 1)
    return []
