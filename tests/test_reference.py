"""docs/reference.md names everything that is set from outside, and every exit code in the source."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click

from house import MODULES
from saver import cli

PAGE = (Path(__file__).parents[1] / "docs" / "reference.md").read_text(encoding="utf-8")

RICH = {"NO_COLOR", "COLUMNS"}
"""Variables that no line of Saver reads: the package that draws in the terminal does."""


def rows(section: str) -> list[str]:
    """The first cells of the table in a section of the page."""
    (text,) = re.findall(rf"^## {section}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    return [row.split("|")[1].strip() for row in re.findall(r"^\|.*$", text, re.MULTILINE)[2:]]


def variables() -> set[str]:
    """Names of variables in the source: those that are read there, and those that begin with SAVER_."""
    return {name for path in MODULES.values() for name in named_in(ast.parse(path.read_text()))}


def named_in(tree: ast.AST) -> Iterator[str]:
    for item in ast.walk(tree):
        match item:
            case ast.Constant(value=str(name)) if re.fullmatch(r"SAVER_[A-Z_]+", name):
                yield name
            case (
                ast.Call(
                    func=ast.Attribute(value=ast.Attribute(attr="environ")), args=[ast.Constant(name), *_]
                )
                | ast.Call(func=ast.Attribute(attr="getenv"), args=[ast.Constant(name), *_])
                | ast.Subscript(value=ast.Attribute(attr="environ"), slice=ast.Constant(name))
                | ast.keyword(arg="envvar", value=ast.Constant(name))
            ):
                assert isinstance(name, str)
                yield name


def test_every_variable_is_on_the_page_and_no_other() -> None:
    table = {name for row in rows("Environment variables") for name in re.findall(r"`([A-Z_]+)`", row)}
    found = variables()
    assert {"SAVER_CONFIG", "SAVER_STORE", "TERM"} <= found
    mentioned = set(re.findall(r"`([A-Z_]+)(?:/[.\w]+)?`", PAGE))
    assert found <= mentioned
    assert table <= found | RICH


def test_each_way_to_read_a_variable_is_found() -> None:
    source = (
        'A = "SAVER_A"\nos.environ.get("B")\nos.environ["C"]\nos.getenv("D", 1)\n'
        'click.option("--e", envvar="E")\nos.environ.pop("F")\nother.get("G")\n'
    )
    assert {*named_in(ast.parse(source))} == {"SAVER_A", "B", "C", "D", "E", "F"}


def exit_codes() -> set[int]:
    """0, those of the errors of the command line, and each number that a command ends with."""
    kinds = [each for each in vars(cli).values() if isinstance(each, type)]
    codes = {each.exit_code for each in kinds if issubclass(each, click.ClickException)}
    for name, path in MODULES.items():
        if name.startswith("saver.cli"):
            codes |= {
                item.args[0].value for item in ast.walk(ast.parse(path.read_text()))
                if isinstance(item, ast.Call) and getattr(item.func, "attr", "").lower() in ("exit", "_exit")
                and item.args and isinstance(item.args[0], ast.Constant)
            }  # fmt: skip
    return {0, cli.INTERRUPTED, *codes}


def test_every_exit_code_is_on_the_page_and_no_other() -> None:
    assert {int(row) for row in rows("Exit codes")} == exit_codes()


def test_what_the_page_says_of_the_configuration_is_a_configuration(tmp_path: Path) -> None:
    from saver import configuration

    (example,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "config.toml").write_text(example)
    found = configuration.read(str(tmp_path / "config.toml"))
    assert found == (("mypackage.*",), {"__main__.Net": "mypackage.Net"})
