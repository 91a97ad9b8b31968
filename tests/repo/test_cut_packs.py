"""A pack that ends early is called cut off, with the rule that it breaks, wherever it was cut."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import saver
from saver.errors import DamagedError

pytestmark = pytest.mark.of_files

LARGE, SMALL = 3_000_000, 2_000
"""Elements of a version whose manifest is an object of its own, and of one that is a file."""

CUTS = {"empty": 0, "length": 5, "half of the header": 2048, "header": 4096, "data": 10_000, "end": -1}


def cut_store(folder: Path, elements: int, cut: int) -> saver.Saver:
    store = saver.Saver(str(folder))
    store.save("m", {"a": np.ones(elements), "b": np.arange(float(elements // 2))})
    (pack,) = (folder / "packs").iterdir()
    pack.write_bytes(pack.read_bytes()[:cut])
    return saver.Saver(str(folder))


def rules_of(cut: int, elements: int) -> set[str]:
    if cut == 5 and elements == SMALL:
        return {"5.15"}  # of a file without a header, the manifest is what is missing
    return {"1.01"} if 0 <= cut < 4096 else {"1.20"}


@pytest.mark.parametrize("elements", [SMALL, LARGE])
@pytest.mark.parametrize("cut", CUTS)
def test_loading_and_checking_name_the_rule_of_the_end(tmp_path: Path, cut: str, elements: int) -> None:
    store = cut_store(tmp_path / "s", elements, CUTS[cut])
    expected = rules_of(CUTS[cut], elements)
    with pytest.raises(DamagedError) as caught:
        store.load("m")
    assert {caught.value.rule} == expected
    assert "restore" in str(caught.value)
    damage = store.check().damage
    assert {each.rule for each in damage} == expected
    assert all(each.model == "m" for each in damage), "nothing says that no version is affected"
    assert not any("header is damaged" in each.what for each in damage)


def test_damage_within_a_pack_is_another_rule(tmp_path: Path) -> None:
    store = saver.Saver(str(tmp_path / "s"))
    store.save("m", {"a": np.ones(LARGE)})
    (pack,) = (tmp_path / "s" / "packs").iterdir()
    data = bytearray(pack.read_bytes())
    data[-1] ^= 1
    pack.write_bytes(data)
    assert {each.rule for each in store.check().damage} == {"1.22"}
    with pytest.raises(DamagedError, match="not those that were saved") as caught:
        store.load("m")
    assert caught.value.rule == "1.22"
