"""What stands in a tree may hold the next value twice, and that the next one, sixty times: then its text, its
hash and every walk through it that does not know where it was take longer than anyone lives. So no codec does
any of these with a value that it did not make."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import fuzz_samples
import pytest

import saver
from forging import forged
from saver.opened import Opened
from saver.opening import open_file
from saver.tree import Node, Reference

pytestmark = pytest.mark.filterwarnings("ignore")

GROUPS = {
    "base": "", "plain": "", "scipy": "scipy", "forms": "scipy", "pandas": "pandas", "pyarrow": "pyarrow",
}  # fmt: skip
"""The samples of the fuzzer, and the library that they need."""


def doubled(codec: str) -> Node:
    found = Node(codec, state=[1, 2], id="model/doubled 0")
    for level in range(1, 60):
        again = Reference(found.id)  # type: ignore[arg-type]
        found = Node(codec, state=[found, again], id=f"model/doubled {level}")
    return found


def places(opened: Opened) -> Iterator[tuple[Any, Any, str]]:
    """Everything that stands in the trees: where, and what it is to its codec."""
    tree = opened.trees["model"]
    stack: list[tuple[Any, str]] = [(root, "") for root in tree.roots]
    while stack:
        value, what = stack.pop()
        if isinstance(value, Node):
            kind = value.state[0] if isinstance(value.state, list) and value.state else ""
            what = f"{value.codec} {value.cls or ''} {kind if isinstance(kind, str) else ''}"[:80]
            yield value, "state", what
            stack.append((value.state, what))
        elif isinstance(value, (dict, list)):
            for key in range(len(value)) if isinstance(value, list) else list(value):
                name = f"{what}/{'item' if isinstance(key, int) and key > 5 else key}"
                yield value, key, name
                stack.append((value[key], name))


@pytest.fixture(autouse=True)
def families(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the samples of pandas and SciPy are."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "families"))


def samples(group: str) -> dict[str, Callable[[], Any]]:
    if GROUPS[group] and importlib.util.find_spec(GROUPS[group]) is None:
        pytest.skip(f"{GROUPS[group]} is not installed")
    return fuzz_samples.makers((group,))


@pytest.mark.slow
@pytest.mark.parametrize("group", GROUPS)
def test_nothing_that_stands_in_a_tree_is_looked_through_again_and_again(group: str, tmp_path: Path) -> None:
    met = set[str]()
    for make in samples(group).values():
        path = tmp_path / "m.saver"
        with suppress(saver.CannotSaveError, AttributeError, pytest.skip.Exception):
            path.unlink(missing_ok=True)
            saver.dump({"model": make()}, path)
        if path.exists():
            _double_each(path, met)
    assert len(met) > 5


def _double_each(path: Path, met: set[str]) -> None:
    for number, (_, _, what) in enumerate(places(open_file(path))):
        if what in met:
            continue
        met.add(what)
        for codec in ("tuple", "list"):
            opened = open_file(path)
            holder, key, _ = list(places(opened))[number]
            if isinstance(holder, Node):
                holder.state = doubled(codec)
            else:
                holder[key] = doubled(codec)
            with suppress(saver.SaverError):
                forged(opened).load(())


def _configuration() -> Any:
    return pytest.importorskip("transformers").BertConfig()


def _encoder() -> Any:
    return pytest.importorskip("category_encoders").HashingEncoder()


CHECKED: dict[str, Callable[[], Any]] = {
    "a configuration of Transformers": _configuration, "an encoder of categories": _encoder
}  # fmt: skip
"""Objects whose family looks at some of their attributes, and says in a message what is there."""


@pytest.mark.parametrize("what", CHECKED)
def test_no_message_writes_out_what_is_doubled(what: str, tmp_path: Path) -> None:
    saver.dump({"model": CHECKED[what]()}, tmp_path / "m.saver")
    _double_each(tmp_path / "m.saver", set())
