"""How much of a text is looked at to read it: in proportion to its length, whatever a stranger made of it."""

from __future__ import annotations

import itertools
import re
from typing import Any

import pytest

pytest.importorskip("msgspec")

from saver.serve import decoding
from saver.serve.decoding import DIGITS, decode_json, depth_of, has_long
from saver.serve.refusals import Refusal

SIZES = [10, 100, 1000, 4000]
_OPEN = re.compile(rb'"(?:[^"\\]|\\.)*+', re.DOTALL)


def looked_at(data: bytes) -> int:
    """Bytes that are looked at to find all strings: those of each try that begins at a quote."""
    seen = at = 0
    while (at := data.find(b'"', at)) >= 0:
        found = decoding._STRINGS.match(data, at)
        tried = _OPEN.match(data, at)
        assert tried is not None
        seen += (found or tried).end() - at
        at = found.end() if found else at + 1
    return seen


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "piece", [b'\\"', b'"', b"\\", b'\\\\"', b"a", b'"\\', b'""\\"', b'"[', b'\n"'], ids=repr
)
def test_strings_are_found_with_one_look_at_each_byte(size: int, piece: bytes) -> None:
    for data in (b'"' + piece * size + b"[" * 40, piece * size, b'"' + piece * size + b"\\"):
        assert looked_at(data) <= len(data)
        with pytest.raises(Refusal):
            decode_json(data, 32)


def test_no_quote_is_left_whatever_the_text_is() -> None:
    for length in range(8):
        for letters in itertools.product(b'"\\[a', repeat=length):
            data = bytes(letters)
            assert looked_at(data) <= length, data
            assert b'"' not in decoding._STRINGS.sub(b"", data)
            depth_of(data)


class Counted(str):
    """A key that counts how often one is compared."""

    compared = 0

    def __eq__(self, other: object) -> bool:
        Counted.compared += 1
        return str.__eq__(self, other)

    __hash__ = str.__hash__


@pytest.mark.parametrize("size", SIZES)
def test_a_key_that_stands_twice_at_the_end_is_found_at_once(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads = decoding.json.loads

    def counting(data: bytes, object_pairs_hook: Any) -> Any:
        return loads(data, object_pairs_hook=lambda pairs: object_pairs_hook(
            [(Counted(name), value) for name, value in pairs]))  # fmt: skip

    monkeypatch.setattr(decoding.json, "loads", counting)
    Counted.compared = 0
    body = ",".join([*(f'"k{at}":0' for at in range(size)), '"z":0,"z":0'])
    with pytest.raises(Refusal, match="key 'z' stands in one object twice"):
        decode_json(b"{" + body.encode() + b"}", 32)
    assert Counted.compared <= 4 * size + 20


class Watched(bytes):
    """Bytes that count how many of them are taken out to be looked at."""

    taken = 0

    def __getitem__(self, place: Any) -> Any:
        found = bytes.__getitem__(self, place)
        Watched.taken += len(found) if isinstance(found, bytes) else 1
        return found


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("run", [1, 2, DIGITS - 1, 7])
def test_long_numbers_are_looked_for_with_few_looks(size: int, run: int) -> None:
    data = Watched((b"1" * run + b",") * size)
    Watched.taken = 0
    assert not has_long(data)
    assert Watched.taken <= 3 * len(data) + 3 * DIGITS


def test_long_numbers_are_found_wherever_they_stand() -> None:
    for before in range(2 * DIGITS):
        assert has_long(b" " * before + b"7" * DIGITS)
        assert not has_long(b" " * before + b"7" * (DIGITS - 1) + b" " + b"7" * (DIGITS - 1))


def test_digits_in_a_text_are_no_number() -> None:
    text = "1" * (3 * DIGITS)
    assert decode_json(f'["{text}"]'.encode(), 32) == [text]
    assert decode_json(f'{{"a\\"{text}": 1}}'.encode(), 32) == {f'a"{text}': 1}
    for number in (text, "-" + text, "0." + text, "1e" + text):
        with pytest.raises(Refusal, match="digits in a row"):
            decode_json(f'["{text}", {number}]'.encode(), 32)
