"""No garbage is collected while very many objects are made; whatever happens then, it is afterwards."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import saver
from saver.garbage import uncollected

MANY = 5_000
"""Enough containers that Python would look for garbage at least once."""


@pytest.fixture(autouse=True)
def _collecting() -> Iterator[None]:
    gc.enable()
    yield
    gc.enable()


def looks(act: Callable[[], Any]) -> int:
    """How often Python looked for garbage meanwhile."""
    found: list[Any] = []

    def look(phase: str, info: Any) -> None:
        found.append(phase)

    gc.collect()
    gc.callbacks.append(look)
    try:
        act()
    finally:
        gc.callbacks.remove(look)
    return found.count("start")


def test_nothing_is_collected_until_it_returns() -> None:
    made = lambda: [[] for _ in range(MANY)]  # noqa: E731
    assert looks(made) > 0
    assert looks(lambda: uncollected(made)) == 0
    assert gc.isenabled()


def test_it_is_collected_again_after_an_error() -> None:
    with pytest.raises(ZeroDivisionError):
        uncollected(lambda: 1 / 0)
    assert gc.isenabled()


def test_it_nests_and_leaves_alone_what_the_user_has_switched_off() -> None:
    assert not uncollected(lambda: uncollected(gc.isenabled))
    assert gc.isenabled()
    gc.disable()
    assert uncollected(abs, -1) == 1
    assert not gc.isenabled()


def test_threads_end_with_it_on_in_whatever_order_they_end() -> None:
    for order in ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)):
        within, go_on = [threading.Event() for _ in range(3)], [threading.Event() for _ in range(3)]
        threads = []
        for began, end in zip(within, go_on, strict=True):
            waiting = lambda began=began, end=end: (began.set(), end.wait())  # noqa: E731
            threads.append(threading.Thread(target=uncollected, args=(waiting,)))
            threads[-1].start()
            assert began.wait(10)
        for number in order:
            go_on[number].set()
            threads[number].join()
        assert gc.isenabled(), order


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork")
def test_a_child_that_is_forked_meanwhile_collects() -> None:
    began, end = threading.Event(), threading.Event()
    thread = threading.Thread(target=uncollected, args=(lambda: (began.set(), end.wait()),))
    thread.start()
    assert began.wait(10)
    child = os.fork()
    if child == 0:
        os._exit(0 if gc.isenabled() else 1)
    end.set()
    thread.join()
    assert os.waitpid(child, 0)[1] == 0


def test_objects_are_saved_loaded_and_restored_so(tmp_path: Path) -> None:
    path, held = tmp_path / "many.saver", [{"number": at} for at in range(MANY)]
    saver.dump({"many": held}, path)  # so that everything is imported
    saver.restore(path, into={"many": held})
    few = looks(lambda: [[] for _ in range(MANY)])
    for act in (
        lambda: saver.dump({"many": held}, path),
        lambda: saver.load(path),
        lambda: saver.restore(path, into={"many": held}),
    ):
        assert looks(act) < few
