"""Numbers of protocol buffers, which ONNX, TensorFlow's checkpoints and SentencePiece have."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saver.protobuf import Malformed, encoded, varint


@given(st.integers(0, 2**64 - 1) | st.integers(0, 63).map(lambda bits: 1 << bits), st.binary(max_size=3))
def test_a_number_is_read_as_it_was_written(number: int, after: bytes) -> None:
    data = encoded(number)
    assert varint(data + after, 0) == (number, len(data))
    assert len(data) == max(1, -(-number.bit_length() // 7))


@given(st.integers(0, 2**64 - 1))
def test_a_number_that_is_cut_off_anywhere_is_refused(number: int) -> None:
    data = encoded(number)
    for end in range(len(data)):
        with pytest.raises(Malformed, match="cut off"):
            varint(data[:end], 0)


@pytest.mark.parametrize("number", [2**64, 2**64 + 5, 2**69 - 1, 2**70])
def test_a_number_of_more_than_64_bits_is_refused(number: int) -> None:
    with pytest.raises(Malformed, match="more than 64 bits"):
        varint(encoded(number), 0)
