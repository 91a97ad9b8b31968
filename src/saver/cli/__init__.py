"""The command line: one file per command, imported when it is called.

A module `show.py` of this folder is the command `saver show`; its click command is named `command`.
Exit codes: 0; 1 when a command found what it looks for (damage, a difference); 2 for misuse; 3 when
something named on the command line does not exist; 4 for any other error.
"""

from __future__ import annotations

import ast
import os
import sys
import warnings
from gc import freeze, set_threshold  # `gc` is a command here
from importlib import import_module
from io import TextIOWrapper
from types import ModuleType
from typing import Any, ClassVar

import click

from saver import __version__
from saver.cli._screen import AS_JSON, PRINTED, clean, print_json
from saver.cli._switches import STORE, store_of_the_program, switches
from saver.errors import DamagedError, NotFoundError, SaverError, TaggedError
from saver.keys.typed import together
from saver.repo.refs import BadNameError
from saver.signing.keys import BadKeyError

INTERRUPTED = 130
"""The exit code that shells report for a program ended by Ctrl-C."""


LONGEST = 1000
"""Characters of a sentence of help; more than any sentence has, so that none is cut."""


GARBAGE = 100_000
"""How many more objects a command makes than it frees before Python looks for garbage."""


SWITCHES = switches()


def add_switches(command: click.Command) -> None:
    """Give a command the options of every command, but for those of which it has its own."""
    taken = {option for each in command.params for option in each.opts}
    command.params += [each for each in SWITCHES if taken.isdisjoint(each.opts)]


LOOKING = frozenset(("log", "ls", "show"))
"""Commands that calculate nothing, so that NumPy need not start threads to multiply matrices: they were a
third of the work of `saver show`."""

THREADS = "OPENBLAS_NUM_THREADS"


def _imported(name: str) -> ModuleType:
    """The module of a command."""
    alone = name in LOOKING and "numpy" not in sys.modules and THREADS not in os.environ
    if alone:
        os.environ[THREADS] = "1"
    try:
        module = import_module(f"saver.cli.{_module(name)}")
    finally:
        if alone:  # what a command starts has threads
            del os.environ[THREADS]
    return module


class Failure(click.ClickException):
    """A command could not do its work: one line on stderr, exit code 4. `code` is what a document calls it
    that is not an error of the library."""

    exit_code = 4
    code: ClassVar[str] = ""

    def show(self, file: object = None) -> None:
        click.echo(f"error: {clean(self.format_message())}", err=True)


class Misuse(Failure):
    """The arguments of a command are wrong or missing: one line on stderr, exit code 2."""

    exit_code = 2
    code = "misuse"


class Missing(Failure):
    """Something named on the command line does not exist: one line on stderr, exit code 3."""

    exit_code = 3
    code = NotFoundError.code


class Finding(Failure):
    """A command found what it looks for: one line on stderr, exit code 1."""

    exit_code = 1


class Commands(click.Group):
    """The commands of this folder, each imported when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of the modules; a trailing underscore keeps a name from being a keyword."""
        names = os.listdir(os.path.dirname(__file__))
        return sorted(name[:-3].rstrip("_") for name in names if name.endswith(".py") and name[0] != "_")

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command; None if no command has this name."""
        if cmd_name not in self.list_commands(ctx):
            return None
        module = _imported(cmd_name)
        command: click.Command = module.command
        add_switches(command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As in click, with a suggestion when the name is close to that of a command."""
        unknown = args[0][:1] != "-" and self.get_command(ctx, args[0]) is None
        if unknown and not ctx.resilient_parsing:  # a shell that completes a line is not corrected
            from difflib import get_close_matches

            near = get_close_matches(args[0], self.list_commands(ctx), 1)
            ctx.fail(f"no such command: {clean(args[0])}" + (f"; did you mean {near[0]}?" if near else ""))
        name, command, rest = super().resolve_command(ctx, args)
        if (
            command is not None
            and STORE in ctx.meta
            and "address" not in (each.name for each in command.params)
        ):
            ctx.fail(f"{name} is not about a store; leave out --store")
        return name, command, rest

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List each command with the whole first sentence of its help. Imports none of them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, _summary(name)) for name in self.list_commands(ctx)])

    def invoke(self, ctx: click.Context) -> None:
        """Run the command; expected errors become one line and an exit code, and a document with `--json`."""
        try:
            with together():
                self._run(ctx)
        except Failure as failure:
            if ctx.meta.get(AS_JSON) and not ctx.meta.get(PRINTED):
                _print_failed(failure)
            raise

    def _run(self, ctx: click.Context) -> None:
        try:
            super().invoke(ctx)
        except DamagedError as error:
            raise Finding(_with_rule(error)) from error
        except NotFoundError as error:
            raise Missing(str(error)) from error
        except (BadKeyError, BadNameError, TaggedError) as error:
            raise Misuse(str(error)) from error
        except SaverError as error:
            raise Failure(_with_rule(error)) from error
        except BrokenPipeError:
            raise
        except OSError as error:
            place = f"{error.filename}: " if error.filename else ""
            raise Failure(f"{place}{error.strerror or error}") from error
        except (KeyboardInterrupt, click.Abort):
            click.echo("interrupted", err=True)
            ctx.exit(INTERRUPTED)


def _print_failed(failure: Failure) -> None:
    """Print the document of a command that could not do its work."""
    from saver.documents import Failed

    error = failure.__cause__
    code, rule = failure.code, None
    if isinstance(error, SaverError) and not isinstance(failure, Misuse):
        code, rule = error.code, error.rule
    message = failure.format_message() if rule is None else str(error)
    print_json(Failed(code=code, message=message, rule=rule or "", exit_code=failure.exit_code))


def _with_rule(error: SaverError) -> str:
    """What an error says, and which rule of the format is broken, if that is known."""
    return f"{error} (rule {error.rule} of the format)" if error.rule else str(error)


def _module(name: str) -> str:
    """The module of a command."""
    return name if os.path.exists(os.path.join(os.path.dirname(__file__), f"{name}.py")) else f"{name}_"


def _summary(name: str) -> str:
    """The first sentence of the help of a command, read from its source: to import them all takes longer than
    anything else that shows the help."""
    path = os.path.join(os.path.dirname(__file__), f"{_module(name)}.py")
    with open(path, encoding="utf-8") as file:
        tree = ast.parse(file.read())
    functions = (node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "command")
    return click.Command(name, help=ast.get_docstring(next(functions))).get_short_help_str(LONGEST)


@click.command(
    cls=Commands, invoke_without_command=True, params=[store_of_the_program(), *SWITCHES],
    context_settings={"help_option_names": ["-h", "--help"]},
)  # fmt: skip
@click.version_option(__version__, prog_name="saver")
@click.pass_context
def program(ctx: click.Context) -> None:
    """Save trained models whole, load them anywhere, run nothing from them."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def main() -> None:
    """The command `saver`: runs the command that the arguments name, and exits.

    Python looks for garbage while modules are imported, and again in all of them as it exits, which took a
    sixth of the time of `saver show`: here it looks less often, and not in the end.
    """
    set_threshold(GARBAGE)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a character that the encoding lacks must not stop a report
            stream.reconfigure(errors="backslashreplace")
    warnings.showwarning = _show_warning
    if "_SAVER_COMPLETE" in os.environ:
        import_module("saver.cli._completing")  # a shell asks: teaches click the bash of Saver
    try:
        program(prog_name="saver")
    finally:
        freeze()


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    """Print a warning without the line of code that caused it, which is of no use here; on a line of its own,
    also while a bar shows progress."""
    from saver.keys.asking import alone  # most commands warn of nothing

    with alone():
        click.echo(f"warning: {clean(str(message))}", err=True)
