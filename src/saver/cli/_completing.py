"""What a shell offers to complete: models, refs, files. Reads the log's newest state, and no version.

Values are names that a store holds, and a store may hold anything: only plain ones are offered, because a
shell would take the others for something else.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, TypeAlias

import click
from click.shell_completion import CompletionItem, ShellComplete, add_completion_class, split_arg_string

import saver
from saver.cli._switches import STORE
from saver.errors import SaverError
from saver.repo.refs import LATEST, BadNameError

if TYPE_CHECKING:  # a command that needs no store imports none
    from saver import Saver

VARIABLE = "_SAVER_COMPLETE"
"""The environment variable by which a shell asks for completions."""

LINE, BREAKS = "_SAVER_LINE", "_SAVER_BREAKS"
"""Those by which bash says what is typed, and where it divides words. Another bash drops its own ones."""

MODELS, VERSIONS = 1000, 20
"""The most models, and the most of the newest versions, that are offered."""

_Names: TypeAlias = "Callable[[Saver, str], Iterable[str]]"

_PLAIN = re.compile(r"\w[\w.+/-]*")


def models(context: click.Context, _: click.Parameter, typed: str) -> list[CompletionItem[str]]:
    """The models of the store whose names begin with `typed`."""
    return _offered(context, typed, _models)


def groups(context: click.Context, _: click.Parameter, typed: str) -> list[CompletionItem[str]]:
    """The same, and the groups that they are in."""
    return _offered(context, typed, _models_and_groups)


def refs(context: click.Context, _: click.Parameter, typed: str) -> list[CompletionItem[str]]:
    """Models, and after `iris@` the versions, tags and best ones of `iris`."""
    return _offered(context, typed, _refs)


def models_and_refs(context: click.Context, _: click.Parameter, typed: str) -> list[CompletionItem[str]]:
    """Where a model alone means something too."""
    return [*models(context, _, typed), *refs(context, _, typed)]


def refs_or_files(context: click.Context, _: click.Parameter, typed: str) -> list[CompletionItem[str]]:
    """Files, once no ref begins like that."""
    return models_and_refs(context, _, typed) or [CompletionItem(typed, type="file")]


def _offered(context: click.Context, typed: str, names: _Names) -> list[CompletionItem[str]]:
    """What of these names begins with `typed`. A store that cannot be read offers nothing: a shell has no
    place for an error while somebody types; the command itself reports it."""
    address = (
        context.params.get("address") or context.meta.get(STORE) or os.environ.get("SAVER_STORE") or "models"
    )
    try:
        store = saver.Saver(address)
        found = list(names(store, typed)) if store.exists() else []
    except (SaverError, BadNameError, OSError):
        return []
    return [CompletionItem(name) for name in dict.fromkeys(found) if name.startswith(typed)]


def _models(store: Saver, typed: str) -> list[str]:
    group = typed[: typed.rfind("/") + 1]
    found = [name for name in store.models(group) if name.startswith(typed) and _PLAIN.fullmatch(name)]
    return found[:MODELS]


def _models_and_groups(store: Saver, typed: str) -> Iterator[str]:
    for name in _models(store, typed):
        yield name[: name.find("/", len(typed)) + 1] or name
        yield name


def _refs(store: Saver, typed: str) -> Iterator[str]:
    model, at, _ = typed.partition("@")
    if not at:
        yield from (f"{name}@" for name in _models(store, typed))
        return
    found = store.summary(model)
    newest = reversed(store.versions(model, last=VERSIONS))
    ends: Iterable[str] = (
        *found.tags, LATEST, *(f"{version.number}" for version in newest),
        *(f"{which}:{name}" for name in found.newest.metrics for which in ("best", "worst", "max", "min")),
    )  # fmt: skip
    yield from (f"{model}@{end}" for end in ends if re.fullmatch(r"[\w.+:/-]+", end))


class Bash(ShellComplete):
    """Completion in bash, which takes `iris@best:auc` for several words."""

    name = "bash"
    source_template = """\
%(complete_func)s() {
    local IFS=$'\\n' kind value
    COMPREPLY=()
    while IFS=, read -r kind value; do
        case $kind in
            plain) COMPREPLY+=("$value") ;;
            file) compopt -o default ;;
            dir) compopt -o dirnames ;;
        esac
    done < <(_SAVER_LINE="${COMP_LINE:0:COMP_POINT}" _SAVER_BREAKS="$COMP_WORDBREAKS" \\
        %(complete_var)s=bash_complete "$1" 2>/dev/null)
    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[@:/] ]]; then compopt -o nospace; fi
}
complete -o nosort -F %(complete_func)s %(prog_name)s
"""

    def get_completion_args(self) -> tuple[list[str], str]:
        """The words before the one that is typed, and that one."""
        line = os.environ[LINE]
        words = split_arg_string(line)
        self._typed = "" if line[-1:].isspace() or not words else words.pop()
        return words[1:], self._typed

    def format_completion(self, item: CompletionItem[str]) -> str:
        """Without what bash takes for words before. It keeps an `@` with the word that follows."""
        breaks = [at for at, char in enumerate(self._typed) if char in os.environ.get(BREAKS, "")]
        known = 0 if not breaks else breaks[-1] + (self._typed[breaks[-1]] != "@")
        return f"{item.type},{item.value[known:]}"


add_completion_class(Bash)
