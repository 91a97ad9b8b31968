"""The commit of the code that runs, asked of git while other work goes on."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterable
from typing import Any

GIT_SECONDS = 5.0
"""How long `git status` may take before the state of the working tree is recorded as unknown."""

_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


class Git:
    """The commit of the working folder, and whether tracked files differ from it.

    Git takes some milliseconds, so it runs in parallel with the save, and once in a process for each folder
    and commit: the code that runs was loaded then.
    """

    _answers: dict[tuple[str, str | None], _Answer] = {}  # noqa: RUF012  shared by the process on purpose

    def __init__(self) -> None:
        try:
            folder = os.getcwd()
        except OSError:  # the working folder was deleted
            folder = ""
        root = _git_folder(folder) if folder else None
        self._answer: _Answer | None = None
        if root is not None:
            key = (folder, _commit(root))
            self._answer = self._answers.get(key)
            if self._answer is None:
                self._answer = self._answers[key] = _Answer(*key)

    def state(self) -> dict[str, Any] | None:
        """`{"commit": …, "dirty": bool or None}`; None without a repository or a first commit.

        `dirty` is None if git is not installed, does not answer in time, or refuses the folder.
        """
        return self._answer.wait() if self._answer is not None else None


class _Answer:
    """What git reports about a folder, once its thread has ended.

    It has a thread of its own: a save that fails midway need not wait for it, and the next one benefits.
    """

    def __init__(self, folder: str, commit: str | None) -> None:
        self._folder = folder
        self._commit = commit
        self._dirty: bool | None = None
        self._thread: threading.Thread | None = threading.Thread(
            target=self._ask, name="saver-git", daemon=True
        )
        try:
            self._thread.start()
        except RuntimeError:  # "can't start new thread": the save waits here instead
            self._thread = None
            self._ask()

    def wait(self) -> dict[str, Any] | None:
        if self._thread is not None:
            self._thread.join()
        return {"commit": self._commit, "dirty": self._dirty} if self._commit else None

    def _ask(self) -> None:
        import subprocess

        command = ("git", "-c", "core.fsmonitor=false", "--no-optional-locks", "status",
                   "--porcelain=v2", "--branch", "--untracked-files=no")  # fmt: skip
        # In a git hook, these variables would point git to another repository.
        outside = {name: text for name, text in os.environ.items() if not name.startswith("GIT_")}
        try:
            done = subprocess.run(
                command, cwd=self._folder, env=outside, stdin=subprocess.DEVNULL,
                capture_output=True, timeout=GIT_SECONDS,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired):
            return
        if done.returncode == 0:
            lines = done.stdout.decode(errors="replace").splitlines()
            self._dirty = any(not line.startswith("#") for line in lines)
            self._commit = self._commit or _reported_commit(lines)


def _reported_commit(lines: Iterable[str]) -> str | None:
    """The commit that `git status --branch` reports, for repositories that store refs in another format."""
    prefix = "# branch.oid "
    found = (line.removeprefix(prefix) for line in lines if line.startswith(prefix))
    return next(filter(_COMMIT.fullmatch, found), None)


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
    """The commit that HEAD points to, read from files, without running git. None if unknown."""
    head = _read(os.path.join(root, "HEAD")) or ""
    found: str | None = head
    if head.startswith("ref: "):
        found = _commit_of(head[5:], root)
    return found if found and _COMMIT.fullmatch(found) else None


def _commit_of(ref: str, root: str) -> str | None:
    common = os.path.join(root, _read(os.path.join(root, "commondir")) or ".")
    for base in (root, common):
        found = _read(os.path.join(base, ref))
        if found:
            return found
    packed = _read(os.path.join(common, "packed-refs")) or ""
    lines = (line.split(" ", 1) for line in packed.splitlines() if line[:1] not in "#^")
    return next((commit for commit, name in lines if name == ref), None)


def _read(path: str) -> str | None:
    try:
        with open(path, "rb", buffering=0) as file:  # half as long as opening it as text
            return file.readall().decode(errors="replace").strip()
    except OSError:
        return None
