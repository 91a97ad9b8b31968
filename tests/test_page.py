"""What Saver returns says something when it is printed, in a list, and in a notebook: no raw structs."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from html import unescape
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

import saver
from saver import html
from saver.cli import program
from saver.errors import printable
from saver.page import ROWS, Facts, Table, _html, text, width
from saver.repo.packs import Damage


def signed_net(store: saver.Saver) -> saver.Version:
    pytest.importorskip("cryptography")
    from signed import private

    return store.sign("net@3", private("alice"))


NASTY = "<b>\x1b[2J\n"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> saver.Saver:
    found = saver.Saver(tmp_path_factory.mktemp("page") / "models", author="ada")
    for seed in range(3):
        parts = {"w": np.arange(900.0) + seed, "settings": {NASTY: seed, "name": NASTY}}
        found.save("net", parts, step=seed, metrics={"loss": 1 / (seed + 1)}, notes=NASTY, tags=["best"])
    found.save("net", {"w": np.zeros(4)}), found.save("other", 1)
    found.label("net@1", {"stage": "live"}), found.delete("net@2")
    found.export("net@1", Path(str(found.storage)).parent / "a.saver")
    return found


RESULTS: dict[str, Callable[[saver.Saver], Any]] = {
    "version": lambda s: s.version("net@1"),
    "versions": lambda s: s.versions("net"),
    "sorted versions": lambda s: s.versions("net", where="loss", sort="loss"),
    "no versions": lambda s: s.versions("net", last=0),
    "history": lambda s: s.history("net"),
    "change": lambda s: s.history("net")[1],
    "no history": lambda s: s.history("net", last=0),
    "summaries": lambda s: s.summaries(),
    "no summaries": lambda s: s.summaries("nothing/"),
    "summary": lambda s: s.summary("net"),
    "entry": lambda s: next(s.log()),
    "log": lambda s: s.log(),
    "log of one model": lambda s: s.log("net", kinds=["tag"]),
    "deleted": lambda s: s.delete("net@1", "other@1", tags=True, dry_run=True),
    "pruned": lambda s: s.prune("net", saver.Keep(last=1), dry_run=True),
    "difference": lambda s: s.diff("net@1", "net@3"),
    "no difference": lambda s: s.diff("net@1", "net@1"),
    "description": lambda s: s.describe("net@1"),
    "file": lambda s: saver.describe(Path(str(s.storage)).parent / "a.saver"),
    "part": lambda s: s.describe("net@1").parts[0],
    "report": lambda s: s.restore("net@1", into={"w": np.zeros(5)}, strict=False),
    "part of a report": lambda s: s.restore("net@1", {"w": np.zeros(900)}, strict=False).parts["w"],
    "check": lambda s: s.check(),
    "verified": lambda s: s.verify("net@1"),
    "verified and signed": lambda s: s.verify(signed_net(s)),
    "signed": lambda s: signed_net(s),
    "log of what was signed": lambda s: signed_net(s) and s.log(),
    "collection": lambda s: s.gc(dry_run=True),
    "collection without grace": lambda s: s.gc(dry_run=True, grace=0),
    "exported": lambda s: s.export("net@1", Path(str(s.storage)).parent / "net.npz"),
    "migrated": lambda s: saver.migrate(Path(str(s.storage)).parent, "memory://migrated", dry_run=True),
    "backup": lambda s: s.backup(f"{s.storage}-copy"),
    "holders": lambda s: sealed_beside(s).holders(),
    "a holder was added": lambda s: sealed_beside(s).add_holder(f"{s.storage}.key.pub", "ada"),
    "card": lambda s: s.card("net@1"),
    "push": lambda s: s.push("net", f"{s.storage}-other"),
    "schema": lambda s: predicting(s).schema("net"),
    "predictor": lambda s: predicting(s).predictor("net", trust=["*"]),
    "checked predictions": lambda s: predicting(s).check_predictions("net", trust=["*"]),
    "description with a schema": lambda s: predicting(s).describe("net"),
}


def doubled(parts: Any, batch: Any) -> Any:
    return {"doubled": batch * 2}


def predicting(store: saver.Saver) -> saver.Saver:
    """A store with a version that has an example."""
    found = saver.Saver(f"{store.storage}-predicting")
    found.save("net", {"w": 1}, example=np.arange(9.0).reshape(3, 3), pipeline=doubled)
    return found


def sealed_beside(store: saver.Saver) -> saver.Saver:
    pytest.importorskip("pyrage")
    from saver.keys.files import new_key_file

    if not Path(f"{store.storage}.key").exists():
        new_key_file(f"{store.storage}.key")
    found = saver.Saver(f"{store.storage}-sealed", key=f"{store.storage}.key", author="ada")
    found.create()
    return found


RAW = re.compile(r"\b[A-Z]\w+\(\w+=")
"""How a struct looks that nobody thought of."""


@pytest.mark.parametrize("name", RESULTS)
def test_a_result_is_printed_for_people(name: str, store: saver.Saver) -> None:
    found = RESULTS[name](store)
    lines = str(found).splitlines()
    assert 0 < len(lines) < 90
    assert not RAW.search(str(found))
    assert all(map(str.isprintable, lines))


@pytest.mark.parametrize("name", RESULTS)
def test_some_of_a_list_are_printed_like_all(name: str, store: saver.Saver) -> None:
    found = RESULTS[name](store)
    if isinstance(found, list):
        assert type(found[:2]) is type(found)
        assert str(found[:]) == str(found)
        assert [found[at] for at in range(len(found))] == list(found) == list(found[::-1][::-1])


@pytest.mark.parametrize("name", RESULTS)
def test_its_repr_is_one_line_also_within_a_list(name: str, store: saver.Saver) -> None:
    found = RESULTS[name](store)
    for each in found if isinstance(found, list) else [found]:
        assert re.fullmatch(r"<.{3,300}>", repr(each))
        assert repr(each).isprintable()
    assert not RAW.search(repr([found]))


def pieces(found: Any) -> Iterator[msgspec.Struct]:
    """The structs in a result, at any depth."""
    if isinstance(found, msgspec.Struct):
        yield found
        found = [getattr(found, name) for name in found.__struct_fields__]
    if isinstance(found, dict):
        found = [*found.values()]
    for each in found if isinstance(found, (list, tuple)) else ():
        yield from pieces(each)


@pytest.mark.parametrize("name", RESULTS)
def test_what_a_result_holds_is_said_in_a_line_too(name: str, store: saver.Saver) -> None:
    for each in pieces(RESULTS[name](store)):
        assert re.fullmatch(r"<.{3,600}>", repr(each)), type(each)
        assert repr(each).isprintable()


def test_a_piece_that_is_not_a_result_is_written_in_a_line(store: saver.Saver) -> None:
    run = store.checkpoints("run", {"x": {}}, every=saver.Every(steps=1))
    assert repr(run.progress) == "<step -1, not saved yet, 0 saves stopped training for 0 s>"
    assert str(Damage("packs/a", "is missing", "m", 3, "p", "t")) == "packs/a: is missing (m@3 p t)"
    part, tensor = store.version("net@1").parts["w"], store.describe("net@1").parts[0].tensors[0]
    assert re.fullmatch(r"<number 1, 7\.\d+ kB, hash [0-9a-f]{12}>", repr(part))
    assert str(tensor) == "w: F64 900"
    assert re.fullmatch(r"F64 \[0:900\], hash [0-9a-f]{12}", str(tensor.shards[0]))
    assert repr(tensor.shards[0].box) == "<[0:900]>"


def test_all_that_is_returned_is_printed_here(store: saver.Saver) -> None:
    methods = [getattr(saver.Saver, name) for name in dir(saver.Saver) if name[0] != "_"]
    functions = [each for name in saver.__all__ if not isinstance(each := getattr(saver, name), type)]
    returned = {word for each in (*methods, *functions) for word in re.findall(
        r"[A-Z]\w+", str(inspect.signature(each).return_annotation)
    )}  # fmt: skip
    printed = {type(make(store)).__name__ for make in RESULTS.values()}
    elsewhere = {"Any", "Checkpoints", "Handle", "None", "Policy", "Retention"}  # runs, saves that go on
    assert returned - elsewhere <= printed
    run = store.checkpoints("another", {"x": {}}, every=saver.Every(steps=1), keep=saver.Keep(last=2))
    saving = store.save("net", 1, wait=False)
    for each in (store, run, saving, saver.Every(steps=1), saver.Keep(last=2)):
        assert str(each).isprintable()
        assert " object at 0x" not in f"{each!r} {each}"
    saving.result()  # the tests that follow look at the same store


def test_a_log_that_was_printed_still_begins_with_the_newest_record(store: saver.Saver) -> None:
    log = store.log()
    first = str(log).splitlines()[1].split()[0]
    assert str(next(log).record) == first
    assert len(list(log)) == len(list(store.log())) - 1


@pytest.mark.parametrize("name", RESULTS)
def test_a_notebook_shows_the_same(name: str, store: saver.Saver) -> None:
    found = RESULTS[name](store)
    cells = unescape(found._repr_html_())
    for word in str(found).split() if name != "version" else ():
        assert word in cells or word == "-", word


COMMANDS = {
    "history": ["ls", "net"],
    "summaries": ["ls"],
    "description": ["show", "net@1"],
    "difference": ["diff", "net@1", "net@3"],
    "check": ["check"],
    "collection": ["gc", "--dry-run"],
    "entry": ["log"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_command_line_shows_the_same_lines(name: str, store: saver.Saver) -> None:
    """But for what a heading says, and for what it adds."""
    found = RESULTS[name](store)
    done = CliRunner().invoke(program, [*COMMANDS[name], "--store", str(store.storage)])
    shown = {line.strip() for line in done.stdout.splitlines()}
    if name == "description":
        _, _, parts = str(found).partition("Parts\n")
        lines = parts.splitlines()
    else:
        lines = [line for line in str(found).splitlines() if line.startswith("  ") or name == "entry"]
    assert len(lines) > 0
    assert {line.strip() for line in lines} - shown == set()


@given(st.lists(st.tuples(st.text(), st.text()), max_size=70), st.text())
def test_text_is_aligned_printable_and_cut_where_it_is_long(rows: list[tuple[str, str]], title: str) -> None:
    lines = text([Table(title, ("a", ">b"), rows), Facts("", {"name": title})]).split("\n")
    assert all(map(str.isprintable, lines))
    body = lines[bool(title) : len(lines) - bool(title)]
    shown = body[1 : len(rows) + 1] if len(rows) <= ROWS else body[1 : ROWS + 1]
    assert [line.split() for line in shown] == [" ".join(map(printable, row)).split() for row in rows[:ROWS]]
    assert (
        len({width(line) for line, row in zip(shown, rows, strict=False) if printable(row[1]).strip()}) <= 1
    )
    if len(rows) > ROWS:
        assert body[ROWS + 1] == f"  and {len(rows) - ROWS} more"


def test_a_long_text_is_cut_and_nothing_is_padded_to_it() -> None:
    """A file may have a name of a million characters: fifty rows would each get as many blanks."""
    rows = [("x" * 1_000_000, "a"), *[("b", "c")] * 60]
    page = [Table("t" * 1_000_000, ("name", ">value"), rows), Facts("", {"f": "y" * 1_000_000})]
    assert len(text(page)) < 150_000
    assert len(html.block(map(_html, page))) < 150_000
    assert len(str(Damage("z" * 1_000_000, "is missing"))) < 50_000
