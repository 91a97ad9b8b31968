"""What pyproject.toml admits is what was run."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
BY_HAND = {"torch"}
"""Its oldest version is a download of gigabytes: CONTRIBUTING.md says which one was run."""

EXTRAS = ("sklearn", "pandas", "torch", "plot")
OTHERS = {"joblib", "safetensors"}
"""Which Saver reads or is compared with, and which only the tests install."""


def admitted() -> dict[str, str]:
    """The oldest version of each library that Saver works with."""
    extras = PROJECT["optional-dependencies"]
    lines = [
        *PROJECT["dependencies"],
        *extras["sklearn"],
        *extras["pandas"],
        *extras["torch"],
        *extras["plot"],
    ]
    lines += [line for line in extras["test"] if name_of(line) in OTHERS]
    return {name_of(line): line.partition(">=")[2] for line in lines}


def name_of(line: str) -> str:
    return re.split("[><=]", line)[0]


def pinned(name: str) -> dict[str, str]:
    lines = (ROOT / ".ci" / name).read_text(encoding="utf-8").splitlines()
    found = (line.partition("==") for line in lines if line and line[0] != "#")
    return {name: version for name, _, version in found}


def numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version)[:3]))


def test_the_oldest_versions_that_ci_runs_are_the_oldest_that_are_admitted() -> None:
    oldest = pinned("constraints-oldest.txt")
    for name, version in admitted().items():
        if name not in BY_HAND:
            assert (*numbers(oldest[name]), 0, 0)[:3] == (*numbers(version), 0, 0)[:3], name


def test_the_newest_versions_that_ci_runs_are_admitted() -> None:
    for file in ("constraints.txt", "constraints-newer-python.txt"):
        newest = pinned(file)
        for name, version in admitted().items():
            if name in newest or file == "constraints.txt":
                assert numbers(newest[name]) >= numbers(version), (file, name)


def test_every_version_of_python_that_is_claimed_is_run_by_ci() -> None:
    claimed = {text.rpartition(" ")[2] for text in PROJECT["classifiers"] if "Python :: 3." in text}
    script = (ROOT / ".ci/run").read_text(encoding="utf-8")
    (loop,) = re.findall(r"for version in ([\d. ]+);", script)
    first = PROJECT["requires-python"].removeprefix(">=")
    assert claimed == {first, *loop.split()}
