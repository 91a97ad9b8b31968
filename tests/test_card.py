"""A model card says what a version is, and nothing in a store can make it say, link or run anything else."""

from __future__ import annotations

import math
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

import saver
from saver.card import card_of_version, licence, loading_lines, markdown
from saver.card.front import front_matter, quoted
from saver.errors import limited, printable
from saver.page import Facts, Table
from saver.storages.memory import MemoryStorage
from saver.training_log import TrainingLog

NASTY = [
    "<script>alert(1)</script>", "[x](javascript:alert(1))", "![x](http://evil/x.png)", "`` ` ```", "```",
    "| a | b |", "\\", "\\|", "\\\\|`", "a\\", "---", "***", "# x", "- x", "+ x", "1. x", "> x", "* x",
    "&lt;b&gt;", "&#60;", "http://evil.example", "<http://evil>", "[^1]: x", "[a]: http://evil", "~~~", "$x$",
    "<!--", "-->", "{{ x }}", '"', '": {evil: true}', "\n---\nlicense: mit", "\x1b[2J", "\u202e", "\u2028",
    "é😀", "\ud7ff", "    x", "\tx", "10000000000) x", "<details open ontoggle=x>", "yes",
]  # fmt: skip
TEXTS = st.one_of(
    st.sampled_from(NASTY), st.text(max_size=40), st.text("`|\\<>[]()*_#-~!&;\n\"' a1.", max_size=30)
)


class Tags(HTMLParser):
    """What a page of HTML consists of."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes = set[tuple[str, str | None]]()
        self.cells: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {each for each in attrs if each[0] != "style"}
        if tag in ("td", "th", "p", "code"):
            self.cells.append("")

    def handle_data(self, data: str) -> None:
        if self.cells:
            self.cells[-1] += data


def rendered(text: str) -> Tags:
    """Markdown as GitHub and Hugging Face read it: with tables, with HTML let through."""
    return Tags(MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(text))


def flat(text: str) -> str:
    return " ".join(limited(text).split())


@given(TEXTS, TEXTS)
def test_a_cell_of_a_table_is_its_text_and_nothing_else(one: str, other: str) -> None:
    table = Table("", ("a", ">b"), [(one, "x"), ("y", other), (one, other)])
    found = rendered(markdown.page([table]))
    assert found.tags == ["table", "thead", "tr", "th", "th", "tbody", *["tr", "td", "td"] * 3]
    read = [" ".join(cell.split()) for cell in found.cells[2:]]
    assert read == [flat(one), "x", "y", flat(other), flat(one), flat(other)]


@given(TEXTS)
def test_a_fact_a_title_and_a_paragraph_are_texts_and_nothing_else(text: str) -> None:
    facts = rendered(markdown.page([Facts("", {"name": f"x{text}"})]))
    assert facts.tags == ["table", "thead", "tr", "th", "th", "tbody", "tr", "td", "td"]
    if flat(text):
        found = rendered(markdown.paragraph(text))
        assert (found.tags, [" ".join(cell.split()) for cell in found.cells]) == (["p"], [flat(text)])
        assert rendered(f"## {markdown.text(text)}").tags == ["h2"]


@given(st.lists(TEXTS, min_size=1, max_size=4))
@example(["```", "x"])
@example(["````x", "`"])
def test_a_block_of_code_ends_where_it_should(lines: list[str]) -> None:
    found = rendered(f"{markdown.code(lines)}\n\nafter")
    assert found.tags == ["pre", "code", "p"]
    assert found.cells[0] == "\n".join(map(limited, lines)) + "\n\n"


@given(TEXTS)
def test_a_value_of_the_front_matter_is_one_string(text: str) -> None:
    yaml = pytest.importorskip("yaml", reason="needs PyYAML")
    assert quoted(text).isascii()
    assert "\n" not in quoted(text)
    assert yaml.safe_load(f"a: {quoted(text)}\nb: 1") == {"a": limited(text), "b": 1}


@given(st.lists(TEXTS, max_size=5), TEXTS)
@example(["---", "\n---\n"], "\n---\nlicense: mit")
def test_the_parser_of_hugging_face_reads_the_fields_and_no_others(tags: list[str], name: str) -> None:
    hub = pytest.importorskip("huggingface_hub", reason="needs huggingface_hub")
    page = f"{front_matter({'library_name': f'x{name}', 'tags': ['saver', *tags], 'metrics': []})}\n\n# x\n"
    found = hub.ModelCard(page)
    assert found.data.to_dict() == {
        "library_name": limited(f"x{name}"), "tags": [*dict.fromkeys(["saver", *map(limited, tags)])],
    }  # fmt: skip
    assert found.text == "\n# x\n"


def saved(store: saver.Saver, text: str, metric: str = "acc") -> saver.Version:
    log = TrainingLog()
    for step in range(9):
        log.append(step, **{f"x{printable(metric)}": step / 9, "loss": 1 / (step + 1)})
    parts = {"w": np.arange(900.0), "settings": {"text": text, f"k{text}": 1}, "log": log}
    return store.save(
        "m", parts, metrics={f"x{printable(metric)}": 0.5, "bad": math.nan}, notes=f"first\n{text}\n\n{text}",
        labels={"who": f"x{printable(text).strip()[:50]}"}, tags=["best"],
        data={f"d{printable(text)}": np.arange(4)},
    )  # fmt: skip


def outline(card: str) -> list[str]:
    """The structure of a card: its tags, without those of paragraphs and of the rows of tables."""
    return [tag for tag in rendered(body(card)).tags if tag not in ("p", "tr", "td")]


def body(card: str) -> str:
    return card.partition("\n---\n")[2]


@pytest.mark.slow
@pytest.mark.parametrize("text", NASTY)
def test_a_card_has_the_same_structure_whatever_is_in_the_store(text: str) -> None:
    hub = pytest.importorskip("huggingface_hub", reason="needs huggingface_hub")
    card, plain = (
        (store := saver.Saver(MemoryStorage())).card(saved(store, each, each)).markdown
        for each in (text, "plain")
    )
    assert outline(card) == outline(plain)
    links = {value for name, value in rendered(body(card)).attributes if name in ("href", "src")}
    assert links == {"https://pypi.org/project/saver-ml/"}
    assert all(line.isprintable() for line in card.splitlines())
    assert hub.ModelCard(card).data.to_dict().keys() == {"library_name", "tags", "metrics"}


LICENCES = [
    ("Apache-2.0", {"license": "apache-2.0"}), ("MIT", {"license": "mit"}), ("", {}), ("!", {}),
    ("openrail++", {"license": "openrail++"}),
    ("Our own, v2", {"license": "other", "license_name": "our-own-v2"}),
    ("GPL-2.0+", {"license": "other", "license_name": "gpl-2.0-plus"}),
    ("é: [x]", {"license": "other", "license_name": "x"}),
]  # fmt: skip


@pytest.mark.parametrize("name", licence.LABELS)
@pytest.mark.parametrize(("said", "fields"), LICENCES)
def test_the_licence_is_what_a_label_says(name: str, said: str, fields: dict[str, str]) -> None:
    """As the hub of Hugging Face takes it: it refuses the card of a licence that it does not know."""
    store = saver.Saver(MemoryStorage())
    store.save("m", 1, labels={name: said} if said else {})
    card = store.card("m").markdown
    head = {line for line in card.partition("\n---\n")[0].splitlines() if line.startswith("license")}
    assert head == {f'{key}: "{value}"' for key, value in fields.items()}
    assert ("| licence |" in card) == bool(said)


def test_a_card_says_all_that_is_known(tmp_path: Path) -> None:
    store = saver.Saver(tmp_path / "models", author="ann")
    saved(store, "old"), saved(store, "a note")
    card = store.card("m@best")
    assert card.ref == "m@2"
    for said in (
        "# m\\@2", "by ann", "## Parts", "| w | 1 |", "TrainingLog", "## Metrics", "| xacc | 0.5 |",
        "| bad | nan |",
        "## Training data", "numpy.ndarray int64", "## Environment", "| python | 3.", "numpy 2", "## Lineage",
        "| parent | m\\@1 |", "log 2, settings 2, w 1", "## Curves", "### loss", "### xacc", "a note",
        f'store = saver.Saver("{store.storage}")', 'parts = store.load("m@2")', "who=xa note",
    ):  # fmt: skip
        assert said in card.markdown, said
    assert "Signatures" not in card.markdown
    assert "shares tensors" not in card.markdown


def test_loading_as_the_card_says_loads_it(tmp_path: Path) -> None:
    store = saver.Saver(tmp_path / 'a "strange" `place`')
    saved(store, "x")
    (program,) = [block for block in rendered(body(str(store.card("m")))).cells if "import saver" in block]
    names: dict[str, Any] = {}
    exec(program, names)
    assert np.array_equal(names["parts"]["w"], np.arange(900.0))


def test_a_card_names_what_loading_asks_for() -> None:
    store = saver.Saver(MemoryStorage())
    version = saved(store, "x")
    described = msgspec.structs.replace(store.describe("m"), untrusted=("own.Net", 'a"b'))
    lines = loading_lines(version, described, ())
    assert lines[-1] == 'parts = store.load("m@1", trust=["own.Net", "a\\"b"])'
    assert lines[-1].count("(") == 1


def test_a_card_names_versions_of_other_models_with_the_same_tensors() -> None:
    store = saver.Saver(MemoryStorage())
    weights = np.random.default_rng(3).normal(size=300_000)
    store.save("base", {"w": weights})
    store.save("tuned", {"w": weights, "head": np.ones(9)}, base="base")
    assert "| shares tensors with | base\\@1 |" in store.card("tuned").markdown
    assert "tuned" not in store.card("base").markdown


def test_a_version_with_signatures_says_them_in_its_card() -> None:
    from saver.card.sections import _signatures

    shown = markdown.page(_signatures({"ann|:1": "holds", "bob:2": "it does | not"}))
    assert r"| ann&#124;\:1 | holds |" in shown
    assert r"| bob\:2 | it does &#124; not |" in shown
    assert _signatures({}) == []


def test_a_card_is_written_whole(tmp_path: Path) -> None:
    store = saver.Saver(MemoryStorage())
    card = card_of_version(store._repo, saved(store, "x"))
    card.save(tmp_path / "README.md")
    assert (tmp_path / "README.md").read_text() == str(card) == card.markdown
    with pytest.raises(saver.CannotWriteError):
        card.save(tmp_path / "missing" / "README.md")
    with open(tmp_path / "x", "wb") as file, pytest.raises(TypeError, match="path"):
        card.save(file)  # type: ignore[arg-type]
