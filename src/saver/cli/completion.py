"""`saver completion`: the script that makes a shell complete models and refs."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from saver.cli._completing import VARIABLE


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print the script that makes a shell complete commands, models and refs.

    \b
      eval "$(saver completion bash)"    in ~/.bashrc
      eval "$(saver completion zsh)"     in ~/.zshrc, after compinit
      saver completion fish | source     in ~/.config/fish/config.fish
    """
    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(ctx.find_root().command, {}, "saver", VARIABLE).source())
