"""What shells complete: commands, models, refs; in bash as a person would see it."""

from __future__ import annotations

import os
import select
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import get_completion_class
from running import PATIENCE, pty, run

import saver
from saver.cli import program
from saver.cli._completing import VARIABLE, Bash
from saver.repo.repository import Repository

PROMPT = "READY "

BREAKS = " \t\n\"'@><=;|&(:"
"""Where bash divides words, as it is set from the beginning."""


def completed(line: str, breaks: str = "") -> list[str]:
    """What bash is offered for a line whose end is being typed, with the words divided at blanks alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("_SAVER_LINE", line)
        patch.setenv("_SAVER_BREAKS", breaks)
        told = Bash(program, {}, "saver", VARIABLE).complete()
    return [item.partition(",")[2] if item.startswith("plain,") else item for item in told.splitlines()]


def test_commands_and_options_are_completed() -> None:
    assert completed("saver sh") == ["show"]
    assert "--tensors" in completed("saver show --")


MODELS = ["iris", "team/bert"]
REFS = {
    "iris@": ["iris@first", "iris@latest", "iris@3", "iris@2", "iris@1",
              "iris@best:loss", "iris@worst:loss", "iris@max:loss", "iris@min:loss"],
    "iris@f": ["iris@first"], "iris@best": ["iris@best:loss"], "iris@9": [],
}  # fmt: skip


@pytest.mark.parametrize("command", ["prune", "import a.saver", "ls"])
def test_models_are_completed(command: str, store: saver.Saver) -> None:
    assert {*MODELS} <= {*completed(f"saver {command} ")}
    assert completed(f"saver {command} ir") == ["iris"]
    assert completed(f"saver {command} team/b") == ["team/bert"]
    assert completed(f"saver {command} rose") == []


def test_groups_are_completed_where_they_can_be_listed(store: saver.Saver) -> None:
    assert completed("saver ls te") == ["team/", "team/bert"]


@pytest.mark.parametrize(
    "command",
    ["show", "diff", "diff iris@1", "export", "rm", "rm iris@1", "label", "note", "tag", "doctor", "log"],
)
def test_refs_are_completed(command: str, store: saver.Saver) -> None:
    assert "iris@" in completed(f"saver {command} ir")
    found = {typed: completed(f"saver {command} {typed}") for typed in REFS}
    assert {
        typed: [each for each in some if not each.startswith("file,")] for typed, some in found.items()
    } == REFS


def test_what_is_not_a_ref_is_completed_as_a_file(store: saver.Saver) -> None:
    assert completed("saver show ./mod") == ["file,./mod"]
    assert completed("saver rm ./mod") == []


def test_the_store_of_the_line_counts_before_that_of_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: saver.Saver
) -> None:
    saver.Saver(tmp_path / "a").save("ada", [1])
    saver.Saver(tmp_path / "b").save("bob", [1])
    monkeypatch.setenv("SAVER_STORE", str(tmp_path / "b"))
    assert completed("saver prune ") == ["bob"]
    assert completed(f"saver prune --store {tmp_path / 'a'} ") == ["ada"]
    assert completed(f"saver --store {tmp_path / 'a'} prune ") == ["ada"]


@pytest.mark.parametrize("harm", ["no store", "no record", "no folder"])
def test_nothing_is_completed_where_nothing_can_be_read(harm: str, capfd: pytest.CaptureFixture[str]) -> None:
    if harm == "no record":
        Path("models").mkdir()
        Path("models", "store.json").write_text("{}")
    elif harm == "no folder":
        Path("models").write_text("")
    for line in ("saver log ", "saver rm ", "saver rm iris@", "saver rm a b@", "saver rm 'a"):
        assert completed(line) == []
    assert capfd.readouterr() == ("", "")


def test_names_that_a_shell_would_misunderstand_are_not_offered(hostile: Repository) -> None:
    assert completed("saver rm ") == ["evil@"]
    assert all(each.isprintable() and " " not in each for each in completed("saver rm evil@"))
    assert completed("saver rm evil@") == ["evil@latest", "evil@1"]


@pytest.mark.parametrize("typed", [*REFS, "ir", "iris@best:l", "iris@best:loss", "team/b"])
def test_bash_is_given_what_follows_its_last_break(typed: str, store: saver.Saver) -> None:
    """It keeps an @ with the word that follows, and no other character that breaks words."""
    whole, pieces = completed(f"saver rm {typed}"), completed(f"saver rm {typed}", BREAKS)
    assert len(whole) == len(pieces)
    for ref, piece in zip(whole, pieces, strict=True):
        before = ref.removesuffix(piece)
        assert ref == before + piece
        assert typed.startswith(before)
        assert before == "" or before[-1] in BREAKS or piece.startswith("@")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_gets_its_script(shell: str) -> None:
    script = run("completion", shell).stdout
    assert VARIABLE in script
    assert f"{shell}_complete" in script
    assert get_completion_class(shell) is not None


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_other_shells_get_whole_refs(
    shell: str, store: saver.Saver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMP_WORDS", "saver rm iris@f" if shell == "zsh" else "saver rm ")
    monkeypatch.setenv("COMP_CWORD", "2" if shell == "zsh" else "iris@f")
    kind = get_completion_class(shell)
    assert kind is not None
    assert "iris@first" in kind(program, {}, "saver", VARIABLE).complete()


@pytest.mark.slow
def test_bash_completes_what_a_person_types(tmp_path: Path, store: saver.Saver) -> None:
    """In a terminal, with the tab key; then the command that was completed is run."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("bash is not installed")
    (tmp_path / "saver").write_text(f'#!{bash}\nexec {shlex.quote(sys.executable)} -m saver "$@"\n')
    (tmp_path / "saver").chmod(0o755)
    lines = [
        "saver tag --delete iris@fir\t",
        "saver ls team/b\t",
        "saver tag iris@best:l\t c",
        "saver rm te\tl\t -y -t",
    ]
    told = typed_in_bash(bash, lines, PATH=f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert "iris@first was removed" in told, told
    assert "team/bert: 1 version" in told, told
    assert "iris@c is iris@2" in told, told
    assert "deleted team/bert@1" in told, told


def typed_in_bash(bash: str, lines: list[str], **variables: str) -> str:
    """What a terminal shows in which somebody types these lines, each after the prompt."""
    main, side = pty.openpty()
    settings = {"PS1": PROMPT, "TERM": "dumb", "INPUTRC": os.devnull, "COLUMNS": "200"}
    shown, lines = "", ['eval "$(saver completion bash)"', *lines, "exit"]
    with subprocess.Popen(
        (bash, "--norc", "--noprofile", "-i"), preexec_fn=lambda: os.login_tty(side), pass_fds=(side,),
        env=os.environ | settings | variables,
    ) as process:  # fmt: skip
        os.close(side)
        try:
            while more := _read(main):
                shown += more
                if shown.endswith(PROMPT) and lines:
                    os.write(main, f"{lines.pop(0)}\n".encode())
            process.wait(PATIENCE)
        finally:
            process.kill()
    os.close(main)
    return shown


def _read(terminal: int) -> str:
    """What a terminal shows next; "" once nobody writes to it."""
    assert select.select([terminal], [], [], PATIENCE)[0], "bash is silent"
    try:
        return os.read(terminal, 65536).decode(errors="replace")
    except OSError:  # Linux says so when the other side is closed
        return ""


def test_another_shell_is_misuse() -> None:
    assert run("completion", "tcsh").exit_code == 2
