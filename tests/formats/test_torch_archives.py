"""Other files of PyTorch: TorchScript, numbers of the other byte order, and storages that were damaged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import saver
from forging import rewritten

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


class Inner(torch.nn.Module):  # type: ignore[misc]
    """A module with what a script can hold besides tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
        self.second = torch.nn.Linear(4, 2)
        self.sizes = [1, 2, 3]
        self.name = "a name"
        self.rates = {"a": 1.5}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(x))


@pytest.mark.parametrize("make", [torch.jit.script, lambda net: torch.jit.trace(net, torch.ones(5, 3))])
def test_the_tensors_of_a_script_have_the_names_of_its_state_dict(make: Any, tmp_path: Path) -> None:
    net = Inner().eval()
    torch.jit.save(make(net), tmp_path / "net.pt")
    found = saver.load(tmp_path / "net.pt")
    expected = net.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name].detach(), expected[name]) for name in expected)
    net.load_state_dict(found)
    assert (
        saver.describe(tmp_path / "net.pt").environment["imported from"].startswith("a zip archive of TorchS")
    )


VALUES = {
    "floats": lambda: torch.randn(3, 4),
    "integers": lambda: torch.arange(5),
    "halves": lambda: torch.randn(3).bfloat16(),
    "bytes": lambda: torch.arange(5).to(torch.uint8),
    "complex": lambda: torch.randn(3, dtype=torch.complex64),
}
SIZES = {"floats": 4, "integers": 8, "halves": 2, "bytes": 1, "complex": 4}


def _swapped(data: bytes, size: int) -> bytes:
    return b"".join(data[at : at + size][::-1] for at in range(0, len(data), size))


@pytest.mark.parametrize("name", VALUES)
def test_numbers_of_the_other_byte_order_are_turned(name: str, tmp_path: Path) -> None:
    value = VALUES[name]()
    torch.save([value], tmp_path / "a.pt")

    def change(each: str, data: bytes) -> bytes:
        if each.endswith("/byteorder"):
            return b"big"
        return _swapped(data, SIZES[name]) if "/data/" in each else data

    rewritten(tmp_path / "a.pt", change)
    (found,) = saver.load(tmp_path / "a.pt")
    assert torch.equal(found, value)
    assert torch.equal(torch.load(tmp_path / "a.pt", weights_only=True)[0], value)


def test_older_files_of_the_other_byte_order_are_turned(tmp_path: Path) -> None:
    torch.save([torch.arange(300)], tmp_path / "a.pt", _use_new_zipfile_serialization=False)
    data = (tmp_path / "a.pt").read_bytes()
    held = torch.arange(300).numpy().tobytes()
    at = data.index(b"little_endian")
    at = data.index(b"\x88", at)
    data = data[:at] + b"\x89" + data[at + 1 :]
    (tmp_path / "a.pt").write_bytes(data.replace(held, _swapped(held, 8)))
    assert torch.equal(saver.load(tmp_path / "a.pt")[0], torch.arange(300))


def test_a_storage_that_was_changed_is_damage(tmp_path: Path) -> None:
    torch.save([torch.arange(300)], tmp_path / "a.pt")
    data = bytearray((tmp_path / "a.pt").read_bytes())
    data[data.index(torch.arange(300).numpy().tobytes()) + 50] ^= 1
    (tmp_path / "a.pt").write_bytes(data)
    with pytest.raises(saver.DamagedError, match="not what was written"):
        saver.load(tmp_path / "a.pt")


def test_a_storage_without_a_sum_is_read(tmp_path: Path) -> None:
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        torch.save([torch.arange(300)], tmp_path / "a.pt")
    finally:
        torch.serialization.set_crc32_options(before)
    assert torch.equal(saver.load(tmp_path / "a.pt")[0], torch.arange(300))
