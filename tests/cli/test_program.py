"""The program as a whole: finding commands, help, versions, exit codes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys

import click
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from running import runner

import saver
from saver import cli
from saver.cli import Commands, program
from saver.cli._screen import clean, size
from saver.keys import asking


def test_the_commands_are_the_files_of_the_folder():
    assert runner().invoke(program, ["--help"]).exit_code == 0
    commands = program.list_commands(click.Context(program))
    assert {"show", "demo"} <= set(commands)
    assert not any(name.startswith("_") for name in commands)


def test_the_help_sums_up_each_command_as_its_own_help_does() -> None:
    shown = runner().invoke(program, ["--help"], terminal_width=1000).output
    with click.Context(program) as context:
        names = program.list_commands(context)
        commands = {name: program.get_command(context, name) for name in names}
    assert len(commands) > 15
    for name, command in commands.items():
        assert f"  {name} " in shown
        assert command.get_short_help_str(1000) in " ".join(shown.split()), name


@pytest.mark.parametrize("name", program.list_commands(click.Context(program)))
def test_every_command_has_help(name):
    result = runner().invoke(program, [name, "-h"])
    assert result.exit_code == 0
    assert result.output.startswith(f"Usage: program {name}")


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["_screen"], ["show"], ["show", "--wrong"], ["demo", "--epochs", "0"]]
)
def test_misuse_is_exit_code_2(arguments):
    result = runner().invoke(program, arguments)
    assert result.exit_code == 2
    assert result.stdout == ""


EXITS = {
    0: [["ls"], ["show", "iris@1"], ["diff", "iris@1", "iris@1"], ["check"], ["tag", "iris@1", "best"]],
    1: [["diff", "iris@1", "iris@2"], ["show", "broken.saver"]],
    2: [["show"], ["show", "--wrong"], ["ls", "a b"], ["ls", "iris@1"], ["tag", "iris@1"], ["rm", "iris"],
        ["tag", "iris@1", "a b"], ["rm", "iris@@"]],
    3: [["show", "iris@9"], ["show", "nowhere.saver"], ["ls", "rose"], ["tag", "iris@9", "best"],
        ["ls", "--store", "nowhere"], ["rm", "iris@9"], ["export", "rose", "a.saver"],
        ["diff", "iris@1", "no@1"], ["import", "nowhere.saver", "rose"], ["doctor", "nowhere.saver"],
        ["backup", "models", "foreign.saver"]],
    4: [["show", "foreign.saver"], ["export", "iris@1", "iris.saver"], ["import", "foreign.saver", "rose"]],
}  # fmt: skip
"""What commands end with, in a folder with a store `models` that has iris@1 and iris@2, iris.saver,
broken.saver (a byte changed) and foreign.saver (a picture)."""


@pytest.mark.parametrize(
    ("code", "arguments"), [(code, each) for code, some in EXITS.items() for each in some], ids=str
)
def test_the_exit_code_tells_what_happened(code, arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = saver.Saver("models")
    store.save("iris", np.arange(100_000.0))
    store.save("iris", np.ones(100_000))
    store.export("iris@1", "iris.saver")
    whole = (tmp_path / "iris.saver").read_bytes()
    (tmp_path / "broken.saver").write_bytes(whole[:-100] + b"\xff" + whole[-99:])
    (tmp_path / "foreign.saver").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    verify = ["--verify"] if "broken.saver" in arguments else []
    assert runner().invoke(program, [*arguments, *verify]).exit_code == code


def test_the_version_is_that_of_the_package():
    result = runner().invoke(program, ["--version"])
    assert result.output.split()[-1] == saver.__version__


def test_commands_that_only_look_start_no_threads_to_calculate() -> None:
    look = """
import os, sys
import saver.cli
saver.cli.program.get_command(None, "show")
assert "numpy" in sys.modules and "OPENBLAS_NUM_THREADS" not in os.environ
print(len(os.listdir("/proc/self/task")))
"""
    if not os.path.isdir("/proc/self/task"):
        pytest.skip("this system does not list the threads of a process")
    plain = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}
    found = subprocess.run(
        [sys.executable, "-c", look], capture_output=True, text=True, check=True, env=plain
    )
    assert found.stdout == "1\n"


def test_the_module_and_the_installed_command_are_the_same_program():
    module = (sys.executable, "-m", "saver")
    ways = [module]
    installed = shutil.which("saver", path=os.path.dirname(sys.executable))
    if installed:
        ways.append((installed,))
    told = {
        subprocess.run((*way, "--help"), capture_output=True, text=True, check=True).stdout for way in ways
    }
    assert len(told) == 1
    assert told.pop().startswith("Usage: saver ")


def test_ctrl_c_ends_a_command_without_a_traceback():
    class Stopped(Commands):
        def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
            return click.Command("wait", callback=lambda: signal.raise_signal(signal.SIGINT))

    result = runner().invoke(Stopped("program"), ["wait"])
    assert result.exit_code == 130
    assert result.stderr == "interrupted\n"


def test_without_arguments_the_commands_are_listed_whole():
    result = runner().invoke(program, [])
    assert result.exit_code == 0
    commands = program.list_commands(click.Context(program))
    assert {"check", "export", "gc", "import", "ls", "rm", "show", "tag"} <= set(commands)
    assert all(f"\n  {name} " in result.stdout for name in commands)
    assert "..." not in result.stdout.partition("Commands:")[2]


@pytest.mark.parametrize(("typed", "meant"), [("shwo", "show"), ("improt", "import"), ("exprot", "export")])
def test_a_command_that_is_nearly_right_is_suggested(typed, meant):
    assert f"did you mean {meant}?" in runner().invoke(program, [typed]).stderr
    assert "did you mean" not in runner().invoke(program, ["zzzz"]).stderr


def test_a_warning_is_one_line_that_cannot_steer_a_terminal():
    code = "import warnings, saver.cli as c; c.program = lambda **_: warnings.warn('a\\x1b[2Jb'); c.main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "warning: a\\x1b[2Jb\n"


@pytest.mark.parametrize("name", ["ls", "show", "tag", "rm", "gc", "check", "export", "import", "migrate"])
def test_every_command_of_a_store_takes_its_place_and_json(name):
    output = runner().invoke(program, [name, "-h"]).stdout
    assert "--store DIR" in output
    assert "--json" in output


@pytest.mark.slow
@given(st.text())
def test_cleaned_text_is_printable_and_clean_text_stays(text):
    assert clean(text).isprintable()
    assert clean(clean(text)) == clean(text)
    if text.isprintable():
        assert clean(text) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"), (999, "999 B"), (1000, "1 kB"), (348_900, "349 kB"), (999_499, "999 kB"),
        (999_500, "1 MB"), (1_060_000_000, "1.06 GB"), (10**20, "1e+05 PB"),
    ],
)  # fmt: skip
def test_sizes_have_three_digits_and_decimal_units(count, text):
    assert size(count) == text


def test_a_warning_has_a_line_of_its_own_while_a_bar_is_drawn(capfd: pytest.CaptureFixture[str]) -> None:
    drawn: list[str] = []
    with asking.aside(
        lambda: drawn.append("stopped"), lambda: drawn.append(f"after {capfd.readouterr().err!r}")
    ):
        cli._show_warning(UserWarning("of something"))
    assert drawn == ["stopped", r"after 'warning: of something\n'"]
