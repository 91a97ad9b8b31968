"""Archives of PyTorch that attack: scripts that name other code, that are nested, or were changed."""

from __future__ import annotations

import random
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest

import saver
from forging import rewritten

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def script(path: Path) -> None:
    torch.jit.save(
        torch.jit.script(torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3))), path
    )


def test_a_script_that_names_other_code_is_refused(tmp_path: Path, refused: Any) -> None:
    script(tmp_path / "net.pt")
    own = re.compile(rb"c__torch__[^\n]*\n[^\n]*\n")
    rewritten(
        tmp_path / "net.pt",
        lambda each, data: own.sub(b"cos\nsystem\n", data) if each.endswith("/data.pkl") else data,
    )
    refused(tmp_path / "net.pt", saver.IncompatibleError, "os.system")


def test_a_changed_script_is_read_or_refused(tmp_path: Path) -> None:
    script(tmp_path / "net.pt")
    with zipfile.ZipFile(tmp_path / "net.pt") as archive:
        names = archive.namelist()
        pickled = next(name for name in names if name.endswith("/data.pkl"))
        good, storages = archive.read(pickled), {n: archive.read(n) for n in names if "/data/" in n}
    chance = random.Random(0)
    for at in range(len(good)):
        data = bytearray(good)
        data[at] = chance.randrange(256)
        with zipfile.ZipFile(tmp_path / "bad.pt", "w") as archive:
            archive.writestr(pickled, bytes(data))
            archive.writestr(pickled.replace("data.pkl", "constants.pkl"), b"\x80\x02).")
            for name, held in storages.items():
                archive.writestr(name, held)
        try:
            saver.load(tmp_path / "bad.pt")
        except saver.SaverError:
            continue


def test_modules_that_hold_each_other_are_bounded(tmp_path: Path, refused: Any) -> None:
    """Each holds the one before it twice: by their paths, there would be 2**40 tensors."""
    deep = b"c__torch__\nM\n)\x81"
    for _ in range(40):
        deep += b"q\x000c__torch__\nM\n)\x81}(X\x01\x00\x00\x00ah\x00X\x01\x00\x00\x00bh\x00ub"
    with zipfile.ZipFile(tmp_path / "a.pt", "w") as archive:
        archive.writestr("a/data.pkl", b"\x80\x02" + deep + b".")
        archive.writestr("a/constants.pkl", b"\x80\x02).")
    refused(tmp_path / "a.pt", saver.IncompatibleError, "too often")


def test_bytes_without_a_type_of_the_other_order_are_refused(tmp_path: Path, refused: Any) -> None:
    torch.save([torch.arange(3).to(torch.uint16)], tmp_path / "a.pt")
    rewritten(tmp_path / "a.pt", lambda each, data: b"big" if each.endswith("/byteorder") else data)
    refused(tmp_path / "a.pt", saver.IncompatibleError, "big-endian")
