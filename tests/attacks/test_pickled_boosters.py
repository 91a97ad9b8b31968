"""Pickles of boosters that were changed are read or refused by Saver: no native parser sees their bytes."""

from __future__ import annotations

import pickle
import random
from typing import Any

import pytest

import saver
from saver.formats.pickle.machine import Machine
from saver.formats.pickle.opcodes import run
from saver.formats.pickle.writing import Writer
from saver.pickled import Call, Pairs

pytest.importorskip("sklearn")

from formats.test_pickle_boosters import MODELS, _booster, golden

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.frameworks]

SAMPLES = (
    "XGBClassifier", "XGBClassifier, linear", "XGBClassifier, dart", "XGBClassifier of categories",
    "LGBMClassifier", "LGBMRegressor, linear", "LGBMClassifier of categories",
    "xgboost-0.90/to_three", "xgboost-1.2.1/dart", "xgboost-1.3.3/classifier", "xgboost-1.7.6/dart",
    "xgboost-1.0.2/linear", "lightgbm-3.1.1/to_three",
)  # fmt: skip


def _parts(name: str) -> tuple[Call, bytes]:
    """A booster as its pickle describes it, and the bytes or text in it."""
    is_made = name in MODELS
    if not is_made:
        pytest.importorskip(name.partition("-")[0])
    pickled = pickle.dumps(_booster(MODELS[name]()), 4) if is_made else golden()[f"{name}_booster.pkl"]
    root = run(Machine(memoryview(pickled)))
    held = next(item for key, item in root.state.items if key in _HELD)
    return root, held.encode() if isinstance(held, str) else bytes(held)


_HELD = ("handle", "_handle")
"""LightGBM has called it both."""


def _with(root: Call, **changed: Any) -> bytes:
    """The pickle of the booster with other attributes."""
    items = [(key, item) for key, item in root.state.items if key not in changed]
    call = Call(root.function, (), None, True, Pairs([*items, *changed.items()]), has_state=True)
    return b"".join(piece for piece in Writer(4).pieces(call) if isinstance(piece, bytes))


def _opens(root: Call, data: bytes) -> bool:
    """Whether Saver loads the booster with these bytes."""
    held, old = next((key, item) for key, item in root.state.items if key in _HELD)
    changed = {held: data.decode("latin-1") if type(old) is str else data}
    try:
        saver.loads(_with(root, **changed))
    except saver.SaverError:
        return False
    return True


@pytest.mark.slow
@pytest.mark.parametrize("name", SAMPLES)
def test_bytes_that_were_changed_are_read_or_refused(name: str) -> None:
    root, data = _parts(name)
    assert _opens(root, data)
    chance = random.Random(name)
    for _ in range(400):
        changed = bytearray(data)
        for _ in range(chance.choice((1, 1, 4))):
            changed[chance.randrange(len(changed))] = chance.choice(
                (0, 1, 48, 127, 255, chance.randrange(256))
            )
        _opens(root, bytes(changed))


@pytest.mark.slow
@pytest.mark.parametrize("name", SAMPLES)
def test_bytes_that_were_cut_or_repeated_are_refused(name: str) -> None:
    root, data = _parts(name)
    is_text = data.startswith(b"tree\n")
    needed = data.index(b"\nend of trees\n") if is_text else len(data)
    for end in range(0, needed, max(1, len(data) // 300)):
        assert not _opens(root, data[:end])
    assert not _opens(root, data + b"}") or is_text
    assert not _opens(root, b"")


FORGED = {
    "a number of objects": (b"[#L" + bytes(7), b"[#L\x7f" + bytes(6)),
    "a length of an array": (b"#L" + bytes(7), b"#L\x7f" + bytes(6)),
    "a length of a text": (b"SL" + bytes(7), b"SL\x7f" + bytes(6)),
}


@pytest.mark.parametrize("name", FORGED)
def test_forged_lengths_in_bytes_of_xgboost_are_refused(name: str) -> None:
    root, data = _parts("XGBClassifier")
    old, new = FORGED[name]
    assert old in data
    assert not _opens(root, data.replace(old, new, 1))
    assert not _opens(root, data.replace(old, new))


def test_bytes_of_xgboost_that_are_deep_are_refused() -> None:
    root, _ = _parts("XGBClassifier")
    for opening in (b"[", b"{L" + bytes(7) + b"\x01a", b'{"Model":'):
        assert not _opens(root, opening * 200_000)


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 3, 1 << 31, (1 << 32) - 1])
def test_forged_numbers_in_structs_of_xgboost_are_read_or_refused(number: int) -> None:
    """Each word of a small model, among which are all counts and lengths."""
    root, data = _parts("xgboost-0.90/classifier")
    for at in range(0, len(data) - 3, 4):
        _opens(root, data[:at] + number.to_bytes(4, "little") + data[at + 4 :])


def test_trees_of_lightgbm_that_overlap_are_refused() -> None:
    """Sizes below zero would let each tree be read again and again."""
    root, data = _parts("LGBMClassifier")
    line = next(line for line in data.split(b"\n") if line.startswith(b"tree_sizes="))
    size = int(line.partition(b"=")[2].split()[0])
    forged = b"tree_sizes=" + b" ".join([b"%d -%d" % (size, size)] * 1000)
    assert not _opens(root, data.replace(line, forged))


@pytest.mark.parametrize("name", ["XGBClassifier", "LGBMClassifier"])
def test_attributes_that_a_booster_does_not_have_are_refused(name: str) -> None:
    root, _ = _parts(name)
    key = "handle" if name.startswith("XGB") else "_handle"
    for changed in ({"_own": 1}, *({key: other} for other in (None, 1, b"bytes", "text", [1]))):
        with pytest.raises(saver.SaverError):
            saver.loads(_with(root, **changed))


def test_parameters_that_name_files_are_left_out() -> None:
    root, _ = _parts("LGBMClassifier")
    given = next(item for key, item in root.state.items if key == "params")
    found = saver.loads(_with(root, params=Pairs([*given.items, ("input_model", "/etc/passwd")])))
    assert "input_model" not in found.params
    assert len(found.params) == len(given.items)
