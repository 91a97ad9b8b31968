"""Without the package cryptography, what needs no signature works, and the rest says what to install."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("cryptography")

import saver
from signed import private, public

PROGRAM = """
import sys

class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "cryptography":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Nothing())
import saver

store, roles = saver.Saver("models"), saver.Saver("roles")
assert saver.load("a.saver") == [1]
assert store.load("iris") == [1]
assert store.version("iris").signatures
assert "not checked" in next(store.log()).signature
store.save("iris", [2])
assert store.check().sound
for what in (
    lambda: saver.load("a.saver", signed_by="a.pub"),
    lambda: saver.verify("a.saver"),
    lambda: store.load("iris@1", signed_by="a.pub"),
    lambda: store.save("iris", [3], sign="a.key"),
    lambda: saver.dump([1], "b.saver", sign="a.key"),
    lambda: roles.load("iris"),
    lambda: roles.save("iris", [2]),
):
    try:
        what()
    except saver.SaverError as error:
        assert "pip install 'saver-ml[encryption]'" in str(error), error
    else:
        raise AssertionError("it did not need the package")
"""


def test_what_needs_no_signature_works_without_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAVER_HEADS", str(tmp_path / "heads"))
    (tmp_path / "a.key").write_bytes(private("alice")), (tmp_path / "a.pub").write_bytes(public("alice"))
    saver.dump([1], tmp_path / "a.saver", sign=private("alice"))
    for name in ("models", "roles"):
        store = saver.Saver(tmp_path / name, sign=private("alice"))
        store.save("iris", [1])
    store.grant(public("alice"), "save", "grant")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_importing_saver_imports_no_cryptography() -> None:
    program = (
        "import sys, saver; saver.Saver('memory://a').save('iris', [1]); "
        "assert 'cryptography' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
