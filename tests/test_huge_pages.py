"""Memory in huge pages: where it begins, and what a child finds there."""

from __future__ import annotations

import os
import sys

import pytest

from saver.memory import HUGE_PAGE, huge_pages


@pytest.mark.parametrize("size", [0, 1, 4096, HUGE_PAGE - 1, HUGE_PAGE, HUGE_PAGE + 1])
def test_it_begins_with_a_huge_page_and_has_its_size(size: int) -> None:
    memory = huge_pages(size)
    assert (memory.size, memory.ctypes.data % HUGE_PAGE) == (size, 0)
    memory[:] = 7
    assert (memory == 7).all()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems cannot wipe what a child gets")
@pytest.mark.parametrize("wiped", [False, True])
def test_a_child_finds_zeros_where_that_was_requested(wiped: bool) -> None:
    memory = huge_pages(4096, wiped_on_fork=wiped)
    memory[:] = 7
    child = os.fork()
    if child == 0:
        os._exit(int((memory == (0 if wiped else 7)).all()))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
    assert (memory == 7).all()
