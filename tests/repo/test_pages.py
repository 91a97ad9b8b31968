"""Pages: a sorted map that is never changed, held against a dict."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

import saver
from saver.repo.state import pages as module
from saver.repo.state import updating
from saver.repo.state.pages import AHEAD, Pages
from saver.repo.state.updating import FAN_OUT, LEAF_BYTES

END = "\U0010ffff"


class Kept:
    """Pages in memory, and what was read and written."""

    def __init__(self) -> None:
        self.data: dict[str, bytes] = {}
        self.written: list[str] = []
        self.read: list[str] = []
        self.pages = Pages(self._read, self._write)

    def _read(self, name: str) -> bytes:
        self.read.append(name)
        if name not in self.data:
            raise saver.NotFoundError(f"no page {name}")
        return self.data[name]

    def _write(self, name: str, data: bytes) -> None:
        assert blake3(data).hexdigest() == name
        self.written.append(name)
        self.data[name] = data

    def cold(self) -> Pages:
        """Pages that have nothing in memory yet."""
        self.read.clear()
        return Pages(self._read, self._write)

    def add(self, document: object) -> str:
        """Keeps any document as a page."""
        data = document if isinstance(document, bytes) else json.dumps(document).encode()
        name = blake3(data).hexdigest()
        self.data[name] = data
        return name

    def height(self, root: str) -> int:
        return int(json.loads(self.data[root]).get("height", 0))


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages so small that a few keys make a deep tree."""
    monkeypatch.setattr(updating, "LEAF_BYTES", 60)
    monkeypatch.setattr(updating, "FAN_OUT", 4)


def commit(number: int) -> dict[str, Any]:
    """About what the log's state keeps of a version: 400 bytes."""
    parts = {name: {"number": number, "hash": "ab" * 32, "bytes": 12345} for name in ("scaler", "model")}
    return {"manifest": f"{number:064x}", "parts": parts, "metrics": {"accuracy": 0.97}, "step": number}


def versions(first: int, stop: int, model: str = "iris") -> dict[str, Any]:
    return {f"version {model} {number:012}": commit(number) for number in range(first, stop)}


def items(pages: Pages, root: str | None) -> dict[str, Any]:
    return dict(pages.scan(root, "", END))


KEYS = st.text("abé\U0001f600", min_size=0, max_size=4)
VALUES = st.one_of(
    st.integers(-9, 9), st.text(max_size=30), st.lists(st.booleans(), max_size=3), st.just({"b": 1.5, "a": 0})
)
CHANGES = st.dictionaries(KEYS, st.none() | VALUES, max_size=25)


@pytest.mark.usefixtures("small")
@settings(max_examples=150)
@given(st.lists(CHANGES, max_size=12), KEYS, KEYS)
def test_it_is_a_dict_that_is_sorted(batches: list[dict[str, Any]], first: str, stop: str) -> None:
    kept = Kept()
    root, model = None, dict[str, Any]()
    older: list[tuple[str | None, dict[str, Any]]] = []
    for changes in batches:
        older.append((root, dict(model)))
        root = kept.pages.update(root, changes)
        for key, value in changes.items():
            model.pop(key, None)
            if value is not None:
                model[key] = value
        assert (root is None) == (not model)
    pages = kept.cold()
    assert items(pages, root) == model
    assert all(pages.get(root, key) == value for key, value in model.items())
    within = [(key, model[key]) for key in sorted(model) if first <= key < stop]
    assert list(pages.scan(root, first, stop)) == within
    assert list(pages.scan(root, first, stop, reverse=True)) == within[::-1]
    assert pages.get(root, first) == model.get(first)
    for root, model in older:
        assert items(pages, root) == model


@pytest.mark.usefixtures("small")
@settings(max_examples=60)
@given(CHANGES, CHANGES)
def test_equal_changes_of_an_equal_map_give_an_equal_map(
    before: dict[str, Any], changes: dict[str, Any]
) -> None:
    one, other = Kept(), Kept()
    root = one.pages.update(None, before)
    assert other.pages.update(None, dict(reversed(before.items()))) == root
    assert other.cold().update(root, dict(reversed(changes.items()))) == one.pages.update(root, changes)
    assert other.data == one.data


@pytest.mark.usefixtures("small")
@settings(max_examples=60)
@given(st.lists(CHANGES, min_size=1, max_size=6))
def test_only_new_pages_are_written_and_all_of_them_are_reached(batches: list[dict[str, Any]]) -> None:
    kept = Kept()
    root: str | None = None
    for changes in batches:
        before = set(kept.pages.reachable(root))
        kept.written.clear()
        root = kept.pages.update(root, changes)
        after = list(kept.pages.reachable(root))
        assert len(set(after)) == len(after)
        assert len(set(kept.written)) == len(kept.written)
        assert set(kept.written) == set(after) - before


def test_the_empty_map_has_no_root(kept: Kept) -> None:
    assert kept.pages.update(None, {}) is None
    assert kept.pages.update(None, {"a": None}) is None
    assert kept.pages.get(None, "a") is None
    assert items(kept.pages, None) == {}
    assert list(kept.pages.reachable(None)) == []
    assert kept.data == {}


def test_what_changes_nothing_writes_nothing(kept: Kept) -> None:
    root = kept.pages.update(None, versions(0, 300))
    kept.written.clear()
    assert kept.pages.update(root, {}) == root
    assert kept.pages.update(root, {**versions(5, 9), "nothing": None}) == root
    assert kept.written == []


def test_a_value_is_given_out_anew_each_time(kept: Kept) -> None:
    root = kept.pages.update(None, {"a": {"list": []}})
    kept.pages.get(root, "a")["list"].append(1)
    assert kept.pages.get(root, "a") == {"list": []}


def test_pages_are_readable_json(kept: Kept) -> None:
    leaf = kept.pages.update(None, {"b": [1], "a": {"x": "é"}})
    assert kept.data[leaf or ""] == '{"keys":["a","b"],"values":[{"x":"é"},[1]]}'.encode()
    root = kept.pages.update(None, versions(0, 100))
    page = json.loads(kept.data[root or ""])
    assert list(page) == ["height", "keys", "pages"]
    assert page["height"] == 1
    assert page["keys"] == [json.loads(kept.data[name])["keys"][0] for name in page["pages"]]


def grown(kept: Kept, count: int, batch: int) -> str:
    """A map that got `count` versions of one model, among those of others, a batch at a time."""
    root = kept.pages.update(None, versions(0, 90, "alpha") | versions(0, 90, "zeta"))
    for first in range(0, count, batch):
        root = kept.pages.update(root, versions(first, min(first + batch, count)))
    assert root is not None
    return root


def test_among_twenty_thousand_keys_one_is_found_in_three_small_pages(kept: Kept) -> None:
    root = grown(kept, 20_000, 500)
    pages = kept.cold()
    assert pages.get(root, "version iris 000000012345") == commit(12345)
    assert len(kept.read) == 3
    assert sum(len(kept.data[name]) for name in kept.read) < 48 << 10
    assert pages.get(root, "version iris 000000012345") == commit(12345)
    assert len(kept.read) == 3, "pages that were read stay in memory"


@pytest.mark.parametrize("batch", [1, 32, 64])
def test_keys_added_in_order_cost_few_pages_and_bytes_and_leave_full_pages(kept: Kept, batch: int) -> None:
    root = grown(kept, 3000, batch)
    for first in range(3000, 3000 + 20 * batch, batch):
        kept.written.clear()
        root = kept.pages.update(root, versions(first, first + batch)) or ""
        size = len(json.dumps(versions(first, first + batch), separators=(",", ":")))
        assert len(kept.written) <= size / LEAF_BYTES + 5
        assert sum(len(kept.data[name]) for name in kept.written) < size + LEAF_BYTES + (16 << 10)
    leaves = [json.loads(kept.data[name]) for name in kept.pages.reachable(root) if kept.height(name) == 0]
    sizes = [
        sum(len(msgspec.json.encode(value)) for value in leaf["values"])
        for leaf in leaves
        if leaf["keys"][0].startswith("version iris") and leaf["keys"][-1].startswith("version iris")
    ]
    assert sum(sizes) / len(sizes) > 0.9 * LEAF_BYTES


def test_a_map_from_which_all_but_one_key_was_removed_is_one_leaf(kept: Kept) -> None:
    root = grown(kept, 3000, 500)
    keys = [key for key, _ in kept.pages.scan(root, "", END)]
    survivor = keys.pop(1234)
    random.Random(5).shuffle(keys)
    for first in range(0, len(keys), 100):
        root = kept.pages.update(root, dict.fromkeys(keys[first : first + 100])) or ""
    assert list(items(kept.pages, root)) == [survivor]
    assert list(kept.pages.reachable(root)) == [root]
    assert kept.pages.update(root, {survivor: None}) is None


def leaves_and_height(kept: Kept, root: str) -> tuple[int, int]:
    return sum(kept.height(name) == 0 for name in kept.pages.reachable(root)), kept.height(root)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("order", ["rising", "falling", "random"])
def test_the_tree_stays_shallow_in_whatever_order_keys_come_and_go(kept: Kept, order: str) -> None:
    keys = [f"{number:06}" for number in range(600)]
    match order:
        case "falling":
            keys.reverse()
        case "random":
            random.Random(3).shuffle(keys)
    root: str | None = None
    for key in keys:
        root = kept.pages.update(root, {key: 1})
    leaves, height = leaves_and_height(kept, root or "")
    assert leaves <= 600 / 2
    assert height <= 8, "with two to four children each"
    for key in keys[:550]:
        root = kept.pages.update(root, {key: None})
    leaves, height = leaves_and_height(kept, root or "")
    assert leaves <= 50
    assert height <= 6
    assert list(items(kept.cold(), root)) == sorted(keys[550:])


def test_a_value_larger_than_a_page_has_one_of_its_own(kept: Kept) -> None:
    large = {f"k{number}": "x" * (3 * LEAF_BYTES) for number in range(5)}
    mixed = {**large, **versions(0, 50)}
    root = kept.pages.update(None, mixed)
    root = kept.pages.update(root, {"k2a": "y" * LEAF_BYTES})
    assert items(kept.cold(), root) == {**mixed, "k2a": "y" * LEAF_BYTES}


def test_a_scan_reads_pages_as_it_goes(kept: Kept) -> None:
    root = grown(kept, 3000, 500)
    for reverse in (False, True):
        scan = kept.cold().scan(root, "version iris ", "version iris~", reverse)
        assert kept.read == []
        next(scan)
        assert len(kept.read) <= 5
        key = next(key for key, _ in scan if len(kept.read) > 6)
        assert key.startswith("version iris")
        assert len(kept.read) <= 6 + AHEAD, "some ahead"


def test_what_many_maps_share_is_reached_once(kept: Kept) -> None:
    one = grown(kept, 3000, 500)
    other = kept.pages.update(one, versions(3000, 3032)) or ""
    seen: set[str] = set()
    first, second = list(kept.pages.reachable(one, seen)), list(kept.pages.reachable(other, seen))
    assert seen == {*first, *second}
    assert set(second) == set(kept.pages.reachable(other)) - set(first)
    assert len(second) <= 5
    assert list(kept.pages.reachable(one, seen)) == []


def test_reaching_all_pages_reads_no_leaves(kept: Kept) -> None:
    root = grown(kept, 3000, 500)
    reached = list(kept.cold().reachable(root))
    assert {name for name in reached if kept.height(name)} == set(kept.read)


def test_memory_for_pages_is_bounded(kept: Kept) -> None:
    root = grown(kept, 6000, 500)
    pages = kept.cold()
    for _ in range(2):
        list(pages.scan(root, "", END))
    assert len(set(kept.read)) > module._CACHED
    assert pages._page.cache_info().currsize == module._CACHED


def test_a_changed_byte_is_found_and_its_page_named(kept: Kept) -> None:
    root = grown(kept, 200, 50)
    for name in list(kept.pages.reachable(root)):
        good = kept.data[name]
        kept.data[name] = good.replace(b"version", b"Version", 1)
        pages = kept.cold()
        with pytest.raises(saver.DamagedError, match=f"page {name}.*copy"):
            items(pages, root)
        kept.data[name] = good
        assert len(items(pages, root)) == 380, "the damage is not remembered"


def test_a_missing_page_is_not_found(kept: Kept) -> None:
    root = grown(kept, 200, 50)
    last = list(kept.pages.reachable(root))[-1]
    del kept.data[last]
    with pytest.raises(saver.NotFoundError, match=last):
        items(kept.cold(), root)


def everything(pages: Pages, root: str) -> Iterator[Any]:
    """All ways to use a map, each of which may raise."""
    yield lambda: [pages.get(root, key) for key in ("", "a", "b", "c", "d")]
    yield lambda: list(pages.scan(root, "", END))
    yield lambda: list(pages.scan(root, "", END, reverse=True))
    yield lambda: pages.update(root, {"a": None, "b": 2, "e": 3})
    yield lambda: pages.update(root, dict.fromkeys("abcd"))
    yield lambda: list(pages.reachable(root))


DEEP = b'{"keys":["a"],"values":[' + b"[" * 100_000 + b"]" * 100_000 + b"]}"
"""Python 3.14 measures the stack instead of counting calls, and has room for this."""

LEAF = {"keys": ["a", "b"], "values": [1, 2]}
NAME = "ab" * 32


@pytest.mark.parametrize(
    "page",
    [
        b"", b"\xff", b"{}", b"[]", b"null", b'{"keys":["a"],"values":[1]', b'{"keys":["a"],"values":[tru]}',
        b"[" * 100_000, *([DEEP] if sys.version_info < (3, 14) else []),
        b'{"keys":["\xff"],"values":[1]}', b'{"keys":["\\ud800"],"values":[1]}',
        {"keys": [], "values": []}, {"keys": ["a"], "values": []}, {"keys": ["a"], "values": [1, 2]},
        {"keys": ["b", "a"], "values": [1, 2]}, {"keys": ["a", "a"], "values": [1, 2]},
        {"keys": [1], "values": [1]}, {"keys": "a", "values": "b"}, {"keys": ["a"], "values": {"a": 1}},
        {"keys": ["a"]}, {"values": [1]}, {**LEAF, "more": 1}, {**LEAF, "height": 1}, {**LEAF, "height": -1},
        {**LEAF, "height": "0"}, {**LEAF, "height": 2**70}, {**LEAF, "pages": [NAME, NAME]},
        {"keys": ["a"], "pages": [NAME]}, {"height": 17, "keys": ["a"], "pages": [NAME]},
        {"height": 1, "keys": ["a"], "pages": []}, {"height": 1, "keys": ["a"], "pages": [1]},
        {"height": 1, "keys": ["a"], "pages": ["../" * 22]},
        {"height": 1, "keys": ["a"], "pages": [NAME + "\n"]},
        {"height": 1, "keys": ["a"], "pages": [NAME.upper()]},
    ],
    ids=lambda page: str(page)[:50],
)  # fmt: skip
def test_a_page_that_no_saver_wrote_is_refused(kept: Kept, page: object) -> None:
    root = kept.add(page)
    for use in everything(kept.pages, root):
        with pytest.raises(saver.IncompatibleError):
            use()
    assert kept.written == []
    assert set(kept.read) == {root}


@pytest.mark.parametrize("value", [b'"\xff"', b"1e999"])
def test_a_value_that_is_not_json_is_refused(kept: Kept, value: bytes) -> None:
    root = kept.add(b'{"keys":["a","b"],"values":[1,' + value + b"]}")
    assert kept.pages.get(root, "a") == 1
    with pytest.raises(saver.IncompatibleError, match=f"page {root}.*'b'"):
        kept.pages.get(root, "b")


@pytest.mark.parametrize(
    ("height", "keys", "what"),
    [
        (1, ["a", "A"], "malformed"),
        (1, ["", "c"], "page above"),
        (2, ["a", "c"], "page above"),
        (1, ["a", "b"], "page above|page after"),
    ],
)
def test_pages_that_do_not_fit_each_other_are_refused(
    kept: Kept, height: int, keys: list[str], what: str
) -> None:
    first, second = kept.add(LEAF), kept.add({"keys": ["c", "d"], "values": [3, 4]})
    root = kept.add({"height": height, "keys": keys, "pages": [first, second]})
    for use in list(everything(kept.pages, root))[1:5]:
        with pytest.raises(saver.IncompatibleError, match=what):
            use()
    assert kept.written == []


def test_a_page_deep_down_cannot_reach_beyond_its_uncle(kept: Kept) -> None:
    """The keys of the last child's last child are held against the page after the child."""
    last = kept.add({"keys": ["b", "x"], "values": [1, 2]})
    left = kept.add({"height": 1, "keys": ["b"], "pages": [last]})
    right = kept.add({"height": 1, "keys": ["c"], "pages": [kept.add({"keys": ["c"], "values": [3]})]})
    root = kept.add({"height": 2, "keys": ["b", "c"], "pages": [left, right]})
    for use in list(everything(kept.pages, root))[1:5]:
        with pytest.raises(saver.IncompatibleError, match=f"page {last}"):
            use()


def test_a_page_that_stands_many_times_in_a_map_is_refused(kept: Kept) -> None:
    """Else a map of a few pages could have 2 ** 16 keys."""
    name = kept.add({"keys": ["a"], "values": [1]})
    for height in range(1, 17):
        name = kept.add({"height": height, "keys": ["a", "b"], "pages": [name, name]})
    with pytest.raises(saver.IncompatibleError):
        list(kept.pages.scan(name, "", END))
    assert len(kept.read) < 20


@pytest.mark.slow
@settings(max_examples=300)
@given(st.data())
def test_whatever_pages_say_they_are_read_or_refused(data: st.DataObject) -> None:
    """Pages with the right hashes, put together at random."""
    kept = Kept()
    names: list[str] = []
    letters = st.sampled_from(["", "a", "b", "c", "d", "e"])
    for _ in range(data.draw(st.integers(1, 8))):
        keys = data.draw(st.lists(letters, min_size=1, max_size=4))
        if data.draw(st.booleans()):
            keys = sorted(set(keys))
        children = st.lists(st.sampled_from([*names, NAME]), min_size=len(keys), max_size=len(keys))
        page: dict[str, Any] = {"height": data.draw(st.integers(0, 3)), "keys": keys}
        if page["height"]:
            page["pages"] = data.draw(children)
        else:
            page["values"] = [1] * len(keys)
        names.append(kept.add(page))
    for use in everything(kept.pages, names[-1]):
        try:
            use()
        except (saver.IncompatibleError, saver.NotFoundError):
            continue
    root = names[-1]
    try:
        root = kept.pages.update(root, {"c": 5}) or ""
    except (saver.IncompatibleError, saver.NotFoundError):
        return
    assert kept.pages.get(root, "c") == 5, "what an update wrote is sound"


@pytest.mark.parametrize("root", ["", "x", "../../etc/passwd", NAME + "\n", NAME.upper(), "0" * 63])
def test_the_root_must_be_a_name(kept: Kept, root: str) -> None:
    for use in everything(kept.pages, root):
        with pytest.raises(saver.IncompatibleError, match="not the name of a page"):
            use()
    assert kept.read == []


def test_pages_hold_as_many_children_as_they_say(kept: Kept) -> None:
    root = grown(kept, 5000, 1000)
    pages = [json.loads(kept.data[name]) for name in kept.pages.reachable(root)]
    assert max(len(page["keys"]) for page in pages if "pages" in page) <= FAN_OUT
    assert max(len(kept.data[name]) for name in kept.data) < LEAF_BYTES + 1000
