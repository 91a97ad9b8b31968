"""What made a version: Python, platform, packages, git, and the random generators."""

from __future__ import annotations

import os
import platform
import random
import subprocess
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

import numpy as np
from blake3 import blake3

GIT_SECONDS = 5.0
"""How long `git status` may take before the state of the tree is recorded as unknown."""

DISTRIBUTIONS = {"sklearn": "scikit-learn", "saver": "saver-ml"}
"""Import names whose distribution is called otherwise."""


@cache
def package_version(name: str) -> str | None:
    """The version of the package with this import name, without importing it; None if unknown."""
    module = sys.modules.get(name)
    version = getattr(module, "__version__", None)
    if isinstance(version, str):
        return version
    from importlib.metadata import PackageNotFoundError, version as distribution_version

    try:
        return distribution_version(DISTRIBUTIONS.get(name, name))
    except (PackageNotFoundError, ValueError):
        return None


def describe(packages: Iterable[str], seeds: Mapping[str, int], git: Git) -> dict[str, Any]:
    """The environment as it stands in a manifest; `packages` are import names, `seeds` by path."""
    versions = {name: package_version(name) for name in sorted({"numpy", "saver", *packages})}
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "packages": {name: version for name, version in versions.items() if version},
        "git": git.state(),
        "random": {"seeds": dict(seeds), "generators": generators()},
    }


def generators() -> dict[str, str]:
    """The global random generators in use: the seed where the generator tells it, otherwise a
    fingerprint (BLAKE3, 16 hex digits) of its state, equal when two runs stood at the same point.
    """
    found = {"python": _fingerprint(repr(random.getstate()).encode())}
    found["numpy"] = _numpy_state()
    torch = sys.modules.get("torch")
    if torch is not None:
        found["torch"] = f"seed {torch.initial_seed()}"
    hash_seed = os.environ.get("PYTHONHASHSEED")
    if hash_seed:
        found["hash"] = f"seed {hash_seed}"
    return found


def _numpy_state() -> str:
    state: Any = np.random.get_state(legacy=False)
    return _fingerprint(repr((state["bit_generator"], state["gauss"])).encode() + state["state"]["key"].tobytes()
                        + repr(state["state"]["pos"]).encode())  # fmt: skip


def _fingerprint(data: bytes) -> str:
    return f"state {blake3(data).hexdigest()[:16]}"


class Git:
    """The commit of the working folder and whether tracked files differ from it.

    Asking takes git some milliseconds, so it runs beside the save, and once in a process for each folder
    and commit: the code that runs was loaded then.
    """

    _known: dict[tuple[str, str], bool | None] = {}  # noqa: RUF012  shared by the process on purpose

    def __init__(self) -> None:
        self._folder = os.getcwd()
        root = _git_folder(self._folder)
        self._commit = _commit(root) if root else None
        self._asked: subprocess.Popen[bytes] | None = None
        if self._commit and (self._folder, self._commit) not in self._known:
            self._ask()

    def _ask(self) -> None:
        command = ("git", "-c", "core.fsmonitor=false", "--no-optional-locks", "status", "--porcelain",
                   "--untracked-files=no")  # fmt: skip
        try:
            self._asked = subprocess.Popen(
                command, cwd=self._folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL
            )
        except OSError:  # git is not installed: the commit is known, the state of the tree is not
            self._known[self._folder, self._commit or ""] = None

    def state(self) -> dict[str, Any] | None:
        """`{"commit": …, "dirty": bool or None}`; None outside of a repository."""
        if self._commit is None:
            return None
        key = (self._folder, self._commit)
        if self._asked is not None:
            self._known[key] = _is_dirty(self._asked)
            self._asked = None
        return {"commit": self._commit, "dirty": self._known.get(key)}


def _is_dirty(asked: subprocess.Popen[bytes]) -> bool | None:
    try:
        output, _ = asked.communicate(timeout=GIT_SECONDS)
    except subprocess.TimeoutExpired:
        asked.kill()
        asked.communicate()
        return None
    return bool(output.strip()) if asked.returncode == 0 else None


def _git_folder(folder: str) -> str | None:
    while True:
        candidate = os.path.join(folder, ".git")
        if os.path.isdir(candidate):
            return candidate
        if os.path.isfile(candidate):  # a worktree or submodule: "gitdir: <path>"
            text = _read(candidate) or ""
            return os.path.join(folder, text.removeprefix("gitdir:").strip())
        parent = os.path.dirname(folder)
        if parent == folder:
            return None
        folder = parent


def _commit(root: str) -> str | None:
    head = _read(os.path.join(root, "HEAD"))
    if head is None or not head.startswith("ref: "):
        return head
    name = head[5:]
    common = os.path.join(root, _read(os.path.join(root, "commondir")) or ".")
    for base in (root, common):
        found = _read(os.path.join(base, name))
        if found:
            return found
    packed = _read(os.path.join(common, "packed-refs")) or ""
    lines = (line.split(" ", 1) for line in packed.splitlines() if line[:1] not in "#^")
    return next((commit for commit, ref in lines if ref == name), None)


def _read(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return None
