"""Documents vouch for themselves."""

from __future__ import annotations

import sys

import msgspec
import pytest

import saver
from saver.repo import document


class Note(msgspec.Struct):
    text: str
    number: int = 0


def test_a_document_comes_back_with_the_hash_that_stands_in_it() -> None:
    data = document.encode(Note("héllo", 3))
    found, digest = document.decode(data, Note, "here")
    assert found == Note("héllo", 3)
    assert data.startswith(f'{{"hash":"{digest}","number":'.encode())
    assert msgspec.json.decode(data)["number"] == 3


def test_every_changed_byte_is_found() -> None:
    data = document.encode(Note("text", 3))
    for at in range(len(data)):
        changed = bytearray(data)
        changed[at] ^= 1
        with pytest.raises(saver.DamagedError, match="here: the bytes are not those"):
            document.decode(bytes(changed), Note, "here")


@pytest.mark.parametrize("cut", [0, 1, 8, 40, 72, 80])
def test_a_torn_document_is_damaged(cut: int) -> None:
    with pytest.raises(saver.DamagedError):
        document.decode(document.encode(Note("text"))[:cut], Note, "here")


def test_another_kind_of_document_is_reported() -> None:
    class Other(msgspec.Struct):
        text: int

    with pytest.raises(saver.IncompatibleError, match="not a document of this kind"):
        document.decode(document.encode(Note("text")), Other, "here")


@pytest.mark.parametrize("pair", ['{"a":', "["])
def test_a_document_nested_without_end_does_not_end_the_reader(pair: str) -> None:
    """Fields that are not known are passed over, however deep they are. How deep that can be depends on
    Python: 3.12 counts calls of native code apart from others, and 3.14 measures the stack instead."""

    def nested(depth: int) -> bytes:
        closing = {"[": "]"}.get(pair, "}")
        rest = f'"number":3,"text":"text","unknown":{pair * depth}1{closing * depth}}}'.encode()
        data = b'{"hash":"' + b"0" * 64 + b'",' + rest
        return data.replace(b"0" * 64, document.digest(data).encode(), 1)

    assert document.decode(nested(500), Note, "here")[0] == Note("text", 3)
    for depth in (5_000, 200_000):
        if sys.version_info < (3, 12):
            with pytest.raises(saver.IncompatibleError, match="nested too deep"):
                document.decode(nested(depth), Note, "here")
        else:
            assert passed_over(nested(depth))


def passed_over(data: bytes) -> bool:
    """Whether the document is read, or refused for the right reason."""
    try:
        return document.decode(data, Note, "here")[0] == Note("text", 3)
    except saver.IncompatibleError as error:
        return "nested too deep" in str(error)
