"""Where the packages of keys are not installed, each use names the one that lacks, and what installs it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from saver import Keys
from saver.errors import IncompatibleError
from saver.keys import age, packages
from saver.keys.files import new_key_file
from saver.keys.secret import Passphrase

USES: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "a recipient": ("pyrage", lambda folder: age.wrap(b"", ["age1"])),
    "a passphrase": ("cryptography", lambda folder: age.wrap_for_passphrase(b"", "a")),
    "an identity": ("pyrage", lambda folder: Keys(lambda: "AGE-SECRET-KEY-1A").identities()),
    "a new key": ("pyrage", lambda folder: new_key_file(folder / "a.key")),
    "a new key that signs": ("cryptography", lambda folder: new_key_file(folder / "a.key", "p256")),
}


@pytest.mark.parametrize("name", USES)
def test_a_missing_package_is_named(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package, use = USES[name]
    for each in [*sys.modules]:
        if each.partition(".")[0] == package:
            monkeypatch.setitem(sys.modules, each, None)
    monkeypatch.setitem(sys.modules, package, None)
    cached = (packages.primitives, packages.signing, packages.recipients)
    for found in cached:
        found.cache_clear()
    said = f"keys need the package {package}, which is not installed; pip install 'saver-ml\\[encryption\\]'"
    try:
        with pytest.raises(IncompatibleError, match=said):
            use(tmp_path)
    finally:
        for found in cached:
            found.cache_clear()
    assert not [*tmp_path.iterdir()]


def test_what_needs_no_package_works_without() -> None:
    assert repr(Keys("team.key")) == "saver.Keys(key: team.key)"
    assert Passphrase("a") == Passphrase("a")
