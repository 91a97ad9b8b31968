"""A card as HTML: of Markdown what cards consist of, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

RULES = ["heading", "table", "fence", "escape", "entity", "link"]
"""What cards have. What is from a store is text in them, by their escapes; HTML is text, too."""

MOST = 200_000
"""Characters of a card that are rendered."""


def rendered(markdown: str) -> Markup:
    """A card without its front matter and its title, for a page that has a title of its own."""
    parser = _parser()
    tokens = parser.parse(markdown.partition("\n---\n")[2].partition("\n# ")[2].partition("\n")[2][:MOST])
    shaped = [each for block in _blocks(tokens) for each in _shaped(block)]
    return Markup(parser.renderer.render(shaped, parser.options, {}))


@lru_cache(1)
def _parser() -> MarkdownIt:
    parser = MarkdownIt("zero").enable(RULES)
    parser.validateLink = _is_safe  # type: ignore[method-assign]
    for kind, made in (("fence", _code), ("table_open", _table), ("table_close", _end_of_table)):
        parser.add_render_rule(kind, made)
    return parser


def _is_safe(url: str) -> bool:
    return url.startswith("https://")


def _blocks(tokens: Sequence[Token]) -> Iterator[list[Token]]:
    """The tokens of each table, with its name, and of all that is between tables."""
    title, tables, block = "Facts", 0, list[Token]()
    for at, token in enumerate(tokens):
        if token.type == "heading_open":
            title = "".join(each.content for each in tokens[at + 1].children or ())
        if token.type == "table_open":
            yield block
            tables, block = tables + 1, []
            token.meta = {"name": f"Table {tables}: {title}"}
        block.append(token)
        if token.type == "table_close":
            yield block
            block = []
    yield block


def _shaped(block: list[Token]) -> Iterator[Token]:
    """A table without styles, in which each row or column has a head: rows, if the table itself has none."""
    ends = [at for at, token in enumerate(block) if token.type == "thead_close"]
    facts = bool(ends) and not any(token.content for token in block[: ends[0]])
    first = False
    for token in [block[0], *block[ends[0] + 1 :]] if facts else block:
        if token.type == "tr_open":
            first = True
        if token.type in ("td_open", "th_open"):
            right = "right" in str(token.attrs.pop("style", ""))
            token.attrs |= {"class": "right"} if right else {}
            token.attrs |= (
                {"scope": "row"} if facts and first else {"scope": "col"} if token.tag == "th" else {}
            )
        if facts and first and token.tag == "td":
            token.tag, first = "th", token.type == "td_open"
        yield token


def _code(renderer: Any, tokens: Sequence[Token], at: int, options: Any, env: Any) -> str:
    return Markup('<pre tabindex="0"><code>{}</code></pre>\n').format(tokens[at].content)


def _table(renderer: Any, tokens: Sequence[Token], at: int, options: Any, env: Any) -> str:
    name = tokens[at].meta["name"]
    return Markup('<div class="wide" tabindex="0" role="region" aria-label="{}"><table>\n').format(name)


def _end_of_table(renderer: Any, tokens: Sequence[Token], at: int, options: Any, env: Any) -> str:
    return "</table></div>\n"
