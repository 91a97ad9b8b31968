"""JSON that readers disagree about is refused: here, that it is found as quickly as it is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saver import strict
from saver.errors import IncompatibleError

_PIECES = st.sampled_from(
    ["0", "7", "12", "9007199254740993", "1234567890123456", ".0", ".5", "e", "E", "+", "-", ":", ",", "[",
     "]", "{", "}", '"', "a", "e0", "e+2", " "]
)  # fmt: skip


@given(st.lists(_PIECES, max_size=12).map(lambda pieces: "".join(pieces).encode()))
def test_the_quick_look_finds_what_the_close_one_does(data: bytes) -> None:
    assert strict._may_be_wrong(data) is (strict._MAY_BE_WRONG.search(data) is not None)


@pytest.mark.parametrize("place", ["[%s]", '{"a":%s}', '[1,%s,"b"]', '{"a":[%s],"b":0}'])
@pytest.mark.parametrize("number", ["1.0", "-3.0", "10000000000000000000000", "1e+2", "2.0e1"])
def test_a_number_that_readers_take_for_another_is_refused_anywhere(place: str, number: str) -> None:
    with pytest.raises(IncompatibleError) as error:
        strict.strict_json((place % number).encode(), "here", own=True)
    assert error.value.rule in ("1.06", "1.08")
