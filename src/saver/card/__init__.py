"""A model card: what a version is, in Markdown, with the front matter that Hugging Face reads."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from functools import partial

import msgspec

from saver.card import licence
from saver.card.curves import curves
from saver.card.front import Value, front_matter
from saver.card.markdown import code, page, paragraph, text
from saver.card.sections import sections
from saver.description import Description, describe_opened
from saver.disk.durable import NewFile
from saver.human import counted, size
from saver.opened import Opened, open_version
from saver.page import Said
from saver.repo.lineage import sharing
from saver.repo.repository import Repository
from saver.repo.stated import statement_of
from saver.repo.version import Version
from saver.repo.vouching import held
from saver.storage import Bytes
from saver.streams import path_of


class Card(Said, msgspec.Struct, frozen=True):
    """What people should know of a version. `str(card)` is the Markdown."""

    ref: str
    markdown: str

    def _line(self) -> str:
        return f"card of {self.ref}, {size(len(self.markdown.encode()))}"

    def __str__(self) -> str:
        return self.markdown

    def _repr_html_(self) -> str:
        from html import escape  # which takes as long to import as the rest of Saver's base

        return f"<pre>{escape(self.markdown)}</pre>"

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the Markdown to a file, such as `README.md`, durably and whole, or not at all. Raises
        CannotWriteError."""
        target = path_of(path, "path")
        if target is None:
            raise TypeError("path: a file object given; pass the path of the file")
        content = Bytes(self.markdown.encode())
        with NewFile(target, content.size) as file:
            content.write(file)
            file.commit()


def card_of_version(repo: Repository, version: Version) -> Card:
    """The card of a version of a store, for those who have the store: it names where that is, and versions
    of other models with which this one shares tensors."""
    opening = f"store = saver.Saver({json.dumps(str(repo.storage))})"
    return card_of(open_version(repo, version), version, (opening,), bases(repo, version))


def bases(repo: Repository, version: Version) -> list[Version]:
    """Versions of other models that need packs of this one, and were saved before it."""
    with repo.users.lock:
        found = {str(each): each for each in sharing(repo, version) if each.time <= version.time}
    return [found[ref] for ref in sorted(found)]


def card_of(
    opened: Opened, version: Version, loading: Sequence[str] = (), bases: Iterable[Version] = ()
) -> Card:
    """The card of an opened version. `loading` are the lines of Python that open its store; `bases` are
    versions of other models with which it shares tensors."""
    described = describe_opened(opened)
    head = front_matter(_fields(version, described))
    blocks = [head, f"# {text(str(version))}", _summary(version, described)]
    blocks += [paragraph(line) for line in version.notes.splitlines() if line.strip()]
    blocks.append(page(sections(version, described, tuple(bases), _verdicts(opened, version))))
    drawn = [*curves(opened, described)]
    blocks += ["## Curves"] if drawn else []
    for title, lines in drawn:
        blocks += [f"### {text(title)}", code(lines)] if lines else [paragraph(title)]
    blocks += ["## How to load it", code(loading_lines(version, described, loading), "python")]
    if described.untrusted:
        blocks.append("Loading asks for the classes that `trust` names: allow them if you trust the author.")
    return Card(str(version), "\n\n".join(filter(None, blocks)) + "\n")


def _verdicts(opened: Opened, version: Version) -> Mapping[str, str]:
    """Whose signatures hold. Those of another name are not of this version: a push may give it one."""
    if opened.manifest.model != version.model:
        return {}
    make = partial(statement_of, opened.written, opened.tensors.info, opened.where)
    return held(opened.signatures, make)


def _fields(version: Version, described: Description) -> dict[str, Value]:
    recorded = described.environment.get("packages") or {}
    packages = [part.kind.partition(".")[0] for part in described.parts if part.classes]
    own = [name for name in packages if name != "saver" and name in recorded]
    return {
        **licence.fields(licence.licence_of(version.labels)),
        "library_name": own[0] if own else "saver",
        "tags": ["saver", *dict.fromkeys(own), *version.tags],
        "metrics": list(version.metrics),
    }


def _summary(version: Version, described: Description) -> str:
    kinds = [part.kind.rpartition(".")[2] for part in described.parts]
    return (
        f"Version {version.number:,} of {text(version.model)}: {counted(len(kinds), 'part')} "
        f"({text(', '.join(kinds[:8]))}{', …' * (len(kinds) > 8)}), {size(version.bytes)}. Saved by "
        "[Saver](https://pypi.org/project/saver-ml/): loading it runs no code and verifies every byte."
    )


def loading_lines(version: Version, described: Description, loading: Sequence[str]) -> list[str]:
    """The lines of Python that load it."""
    trusted = f", trust={json.dumps(list(described.untrusted))}" if described.untrusted else ""
    opening = loading or ("store = saver.Saver(...)",)
    return ["import saver", "", *opening, f"parts = store.load({json.dumps(str(version))}{trusted})"]
