"""What made a version: Python, platform, processor, packages, git, and the random generators."""

from __future__ import annotations

import operator
import os
import sys
from array import array
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cache
from typing import Any

import numpy as np
from blake3 import blake3

from saver import registry
from saver.errors import CannotSaveError, quoted
from saver.git import Git
from saver.tree import EXACT_INTEGER


def distribution(package: str) -> str:
    """The name for pip of the package with this import name, if a family knows that they differ."""
    family = registry.in_use(package) if registry.is_own(package) else None
    return (family.distribution if family is not None else "") or package


@cache
def package_version(name: str) -> str | None:
    """The version of the package with this import name, without importing it; None if unknown."""
    module = sys.modules.get(name)
    version = getattr(module, "__version__", None)
    if isinstance(version, str):
        return str(version)  # some packages use a subclass of str, which JSON encoders refuse
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as distribution_version

    try:
        return distribution_version(distribution(name))
    except (PackageNotFoundError, ValueError):
        return None


def saved_under(recorded: Mapping[str, str], packages: Iterable[str]) -> str:
    """The end of a message: the versions of packages (import names) that something was saved under, those
    installed here, and the way out. `recorded` are all versions of then. Empty if nothing is known."""
    known = [
        (distribution(package), recorded[package], package_version(package))
        for package in sorted({*packages})
        if package in recorded
    ]
    other = [each for each in known if each[1] != each[2]]
    if other:
        facts = ", ".join(f"{name} {then} (here: {now or 'none'})" for name, then, now in other)
        way = ", ".join(f"{name}=={then}" for name, then, _ in other)
        return f"; saved under {facts}: install {way} to load it, and save it again under the newer version"
    if known:
        facts = ", ".join(f"{name} {then}" for name, then, _ in known)
        return f"; saved under {facts}, the same as here: another program wrote the file, or a codec is wrong"
    return ""


def describe(
    packages: Iterable[str],
    seeds: Mapping[str, int],
    git: Git,
    given: Mapping[str, int | str] | None = None,
) -> dict[str, Any]:
    """The environment as a manifest records it; `packages` are import names, `seeds` are by path.

    `given` are the seeds that the caller named, as `given_seeds` returns them.
    """
    import platform

    versions = {name: package_version(name) for name in sorted({"numpy", "saver", *packages})}
    chance: dict[str, Any] = {"seeds": dict(seeds), "generators": generators()}
    if given:
        chance["given"] = dict(given)
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        **hardware(),
        "packages": {name: version for name, version in versions.items() if version},
        "git": git.state(),
        "random": chance,
    }


SEED_BITS = 4096
"""More than any generator accepts."""


def given_seeds(seeds: Mapping[str, Any] | Any | None) -> dict[str, int | str] | None:
    """The seeds that the caller says were used, by name, as they are recorded; a single one is called `seed`.

    Large ones become text. Raises CannotSaveError for a value that is not an integer.
    """
    if seeds is None:
        return None
    named = seeds if isinstance(seeds, Mapping) else {"seed": seeds}
    found: dict[str, int | str] = {}
    for name, value in named.items():
        if not isinstance(name, str) or not 0 < len(name) <= 100 or not name.isprintable():
            raise CannotSaveError(f"seeds: {quoted(name)} is not a name of 1 to 100 printable characters")
        where = f"seeds[{name!r}]" if named is seeds else "seeds"
        found[name] = _seed(value, where)
    return found


def _seed(value: Any, where: str) -> int | str:
    seed = None
    if not isinstance(value, (bool, np.bool_)):
        with suppress(TypeError):
            seed = operator.index(value)
    if seed is None:
        raise CannotSaveError(
            f"{where}: {type(value).__name__} is not an integer; pass the seed of the generator"
        )
    if seed.bit_length() > SEED_BITS:
        raise CannotSaveError(f"{where}: it has more than {SEED_BITS} bits, which no generator accepts")
    return seed if abs(seed) <= EXACT_INTEGER else str(seed)


def author() -> str:
    """Who is saving: `$SAVER_AUTHOR`, or else the user's name in the system; "" if there is none."""
    name = os.environ.get("SAVER_AUTHOR")
    if name is None:
        import getpass

        try:
            name = getpass.getuser()
        except (KeyError, OSError, ImportError):  # a user id without a name, as in containers
            name = ""
    whole = name.encode(errors="replace").decode()
    return "".join(char for char in whole if char.isprintable()).strip()[:AUTHOR_LIMIT]


AUTHOR_LIMIT = 200


def hardware() -> dict[str, Any]:
    """What may change the last bits of a computation: the processor, its vector instructions, the number of
    CPUs that this process may use; and the GPU, if a library is using one. Imports and starts nothing.
    """
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"byteorder": sys.byteorder, "cpus": count or 1, **_processor(), **_reported("hardware")}


_CPUINFO_BYTES = 8192
"""Enough for the first processor; the kernel takes long to describe a hundred."""

_VECTOR = frozenset(
    ("sse4_2", "avx", "avx2", "fma", "avx512f", "avx512_bf16", "avx512_fp16", "amx_tile",
     "asimd", "asimdhp", "bf16", "sve", "sve2", "vsx", "vx")
)  # fmt: skip


@cache
def _processor() -> dict[str, str]:
    """The model and the vector instructions of the processor, as Linux reports them."""
    try:
        with open("/proc/cpuinfo", "rb", buffering=0) as file:
            text = file.read(_CPUINFO_BYTES).decode(errors="replace")
    except OSError:
        return {}
    lines = (line.partition(":") for line in text.partition("\n\n")[0].splitlines())
    fields = {name.strip().lower(): value.strip() for name, _, value in lines}
    model = fields.get("model name") or fields.get("cpu") or ""
    flags = set((fields.get("flags") or fields.get("features") or "").split())
    found = {"cpu": model[:100], "vector": " ".join(sorted(flags & _VECTOR))}
    return {name: value for name, value in found.items() if value}


def _reported(what: str) -> dict[str, Any]:
    """What the families of all imported libraries report: their `hardware` or `generators`."""
    found: dict[str, Any] = {}
    for family in registry.families():
        module = family.module("facts") if family.packages[0] in sys.modules else None
        if module is not None:
            found |= getattr(module, what)()
    return found


def generators() -> dict[str, str]:
    """The global random generators in use: the seed if the generator reports it, otherwise a fingerprint
    (BLAKE3, 16 hex digits) of its state, which is equal if two runs were at the same point.

    A generator whose package was never imported is not in use, and is not imported here.
    """
    import random

    version, words, gauss = random.getstate()
    found = {"python": _fingerprint((version, array("I", words), gauss))}
    if "numpy.random" in sys.modules:
        found["numpy"] = _fingerprint(np.random.get_state(legacy=False))
    found |= _reported("generators")
    hash_seed = os.environ.get("PYTHONHASHSEED")
    if hash_seed:
        found["hash"] = f"seed {hash_seed}"
    return found


def _fingerprint(state: Any) -> str:
    hasher = blake3()
    _absorb(state, hasher)
    return f"state {hasher.hexdigest()[:16]}"


def _absorb(state: Any, hasher: blake3) -> None:
    """Hash a generator's state: the tuples, dicts, arrays and numbers that it is made of."""
    if isinstance(state, dict):
        for key, value in state.items():
            hasher.update(f"{key}:".encode())
            _absorb(value, hasher)
    elif isinstance(state, (array, np.ndarray)):
        hasher.update(state.tobytes())
    elif isinstance(state, tuple):
        for value in state:
            _absorb(value, hasher)
    else:
        hasher.update(f"{state!r},".encode())
