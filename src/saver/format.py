"""The contract of a format of another tool: what it recognizes, reads and writes.

A format is a module in `formats/`, or in an installed distribution (an entry point in the group
`saver.formats`), whose constant `FORMAT` derives from `Reads`, from `Writes`, or from both. Its library is
imported only once it is needed.

What only a live object can be written as, such as a compiled graph, derives from `WritesObjects`: the
object is loaded under trust, and the family of its class writes it.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, TypeAlias, TypeVar

import msgspec

from saver import registry
from saver.errors import IncompatibleError, SaverError, quoted
from saver.example import of_data
from saver.opened import Opened
from saver.page import Said
from saver.storage import Blob, Content, Progress
from saver.trust import Allowed

Beside: TypeAlias = Callable[[str], Blob]
"""Opens another file in the folder of the first one, by its name."""


class Loss(Said, msgspec.Struct, frozen=True):
    """What a format could not hold: where it is in the version, such as `$.model.steps.pca`, and what it
    is."""

    place: str
    what: str

    def _line(self) -> str:
        return f"{self.place}: {self.what}"


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """What folders of a tool record about a model that lies in them. `ident` distinguishes it from others
    with the same content; `model` is a name for what is at the place itself, and begins that of what is below
    it; `given` says that people chose it. `time` is in seconds since 1970. `losses` are what a version has no
    room for."""

    ident: str = ""
    model: str = ""
    given: bool = False
    time: float | None = None
    author: str = ""
    metrics: Mapping[str, float] = {}
    labels: Mapping[str, str] = {}
    tags: tuple[str, ...] = ()
    notes: str = ""
    losses: tuple[Loss, ...] = ()

    def joined(self, nearer: Recorded) -> Recorded:
        """This, with what is recorded nearer to the model."""
        chosen = self.model if self.given and not nearer.given else nearer.model or self.model
        return Recorded(
            ident=self.ident + nearer.ident, model=chosen, given=self.given or nearer.given,
            time=self.time if nearer.time is None else nearer.time, author=nearer.author or self.author,
            metrics={**self.metrics, **nearer.metrics}, labels={**self.labels, **nearer.labels},
            tags=(*self.tags, *nearer.tags), notes="\n\n".join(filter(None, (self.notes, nearer.notes))),
            losses=(*self.losses, *nearer.losses),
        )  # fmt: skip


class Around(NamedTuple):
    """What a folder says of the models below it: `records` by their places, relative to the folder, and the
    places that were `read` for it, in which no model lies."""

    records: Mapping[str, Recorded]
    read: Sequence[str] = ()


class Loading(NamedTuple):
    """How an object is loaded that a format is written from: `trust` and `limit` are those of `saver.load`,
    `example` is what the object is called with, if the caller said so."""

    trust: Iterable[str] | Allowed = ()
    limit: int | str | None = None
    example: Any = None


DEFAULT = Loading()


class Chosen(NamedTuple):
    """What to write: some parts of an opened version or file."""

    opened: Opened
    parts: tuple[str, ...]
    loading: Loading = DEFAULT


class Out(ABC):
    """The place that a format writes to. What is written appears whole, once all of it is on disk.

    A name is added to the path that the caller gave: "" is that path itself, `.index` a file beside it, and
    `/config.json` a file in a folder of that path.
    """

    @abstractmethod
    def add(self, name: str, content: Content) -> None:
        """Write a file with this content."""

    @abstractmethod
    def path(self, name: str) -> str:
        """Where a library may write the file of this name itself, before `Writes.write` returns."""

    @property
    @abstractmethod
    def stem(self) -> str:
        """The last name of the path that the caller gave; "" for a file object."""


class Format(ABC):
    """A format of another tool. `name` is what `format=` says, and the name of its module; `title` what
    people call it; `endings` are those of its files, the usual one first, in lower case."""

    name: ClassVar[str]
    title: ClassVar[str]
    endings: ClassVar[tuple[str, ...]] = ()


class Reads(Format):
    """A format that can be opened as data, without running anything."""

    @abstractmethod
    def recognizes(self, blob: Blob) -> bool:
        """Whether this is a file of the format, by its content; never by its name."""

    @abstractmethod
    def open(self, blob: Blob, beside: Beside | None = None) -> Opened:
        """The content, checked. `beside` opens other files in the folder; None if there is no folder.

        Raises DamagedError if bytes are not those that were written, IncompatibleError if they are not
        understood. Takes time and memory in proportion to the files' size, whatever they say of themselves.
        """

    def first_of(self, path: str) -> str | None:
        """The file to open for a folder, or for the beginning of several files' names; None if it is not one
        of this format's."""
        return None

    def around(self, folder: str, names: Sequence[str]) -> Around | None:
        """What this folder records of models below it; `names` are those in it. None if it is not one of this
        format's. Raises nothing but OSError: what cannot be read is left out, and said as a loss."""
        return None


class Writes(Format):
    """A format that can be written. Of several files, that of the name `last` makes the others count."""

    last: ClassVar[str] = ""

    def base(self, path: str) -> str:
        """What the names of files are added to, for the path that the caller gave."""
        return path

    @abstractmethod
    def write(self, chosen: Chosen, out: Out, progress: Progress | None) -> Sequence[Loss]:
        """Write the parts, a tensor at a time, and say what the format cannot hold. Builds no objects, unless
        it derives from `WritesObjects`.

        Raises IncompatibleError, before anything is written, if nothing of them can be held.
        """


class Export(NamedTuple):
    """What a family writes in a format of another tool: the object, on the CPU, and where messages say that
    it is, such as `$.model`.

    `example` is what the object is called with: an array, a tensor, a frame, a dict of them by name, or a
    tuple of several arguments. The caller gave it, or the data that the version records says its shape and
    dtype; None if neither is the case. The file, or the files of a folder, are written to `out`.
    """

    obj: Any
    place: str
    example: Any
    out: Out


class WritesObjects(Writes):
    """A format that is written from one live object, by the family of its class.

    A family names a module for it in `exports` of its declaration. The module's `export(export: Export)`
    writes the object, and returns the losses. It raises IncompatibleError, which says what cannot be
    written, before anything is. A package that it cannot import is one of `extra`, the extra of Saver.
    """

    extra: ClassVar[str]

    def write(self, chosen: Chosen, out: Out, progress: Progress | None) -> Sequence[Loss]:
        """Load the part and let its family write it."""
        part, opened, loading = self.part(chosen), chosen.opened, chosen.loading
        place = f"{opened.where}: $.{part}" if opened.manifest.whole else opened.where
        found = opened.load(loading.trust, [part], device="cpu", limit=loading.limit, progress=progress)
        example = of_data(opened.manifest.data) if loading.example is None else loading.example
        return self._exported(Export(found[part], place, example, out))

    def part(self, chosen: Chosen) -> str:
        """The part to write. Raises IncompatibleError unless it is the only one that was chosen."""
        if len(chosen.parts) != 1:
            raise IncompatibleError(
                f"{chosen.opened.where}: {self.title} holds one object; choose its part with parts= "
                f"(--part): {', '.join(chosen.parts[:20])}"
            )
        return chosen.parts[0]

    def _exported(self, export: Export) -> Sequence[Loss]:
        kind = type(export.obj)
        known = (registry.in_use(base.__module__.partition(".")[0]) for base in kind.__mro__)
        family = next((each for each in known if each is not None and self.name in each.exports), None)
        told = f"{export.place}: {kind.__module__}.{kind.__qualname__} cannot be written as {self.title}"
        if family is None:
            able = [each for each in registry.families() if self.name in each.exports]
            listed = ", ".join(each.distribution or each.packages[0] for each in able)
            raise IncompatibleError(f"{told}, which is written from objects of {listed}")
        try:
            losses: Sequence[Loss] = family.exporter(self.name)(export)
        except ModuleNotFoundError as error:
            raise missing((error.name or str(error)).partition(".")[0], self.extra) from error
        except (SaverError, OSError, MemoryError):
            raise
        except Exception as error:  # the library that converts it may raise what it likes
            said = " ".join(str(error).split())[:500]
            raise IncompatibleError(f"{told}: {type(error).__name__}: {said}") from error
        return losses


F = TypeVar("F", bound=Format)


def formats(kind: type[F]) -> Iterator[F]:
    """All formats of a kind, sorted by name."""
    for name in registry.names("formats"):
        found = _named(name)
        if isinstance(found, kind):
            yield found


def _named(name: str) -> Any:
    return getattr(registry.find("formats", name), "FORMAT", None)


def named(kind: type[F], name: str) -> F:
    """The format of this name. Raises ValueError, which lists those that there are."""
    found = _named(name) if name in registry.names("formats") else None
    if not isinstance(found, kind):
        listed = ", ".join(each.name for each in formats(kind))
        doing = "written" if kind is Writes else "read"
        raise ValueError(f"format: {quoted(name)} is not a format that can be {doing}; there are {listed}")
    return found


def by_ending(path: str) -> Writes | None:
    """The format whose ending a path has: the longest one that fits. None if no format has it.

    Raises IncompatibleError if the format can only be read.
    """
    lower, fitting = path.lower(), list[tuple[int, Format]]()
    for each in formats(Format):
        fitting += [(len(ending), each) for ending in each.endings if lower.endswith(ending)]
    found = max(fitting, key=lambda pair: pair[0])[1] if fitting else None
    if found is None or isinstance(found, Writes):
        return found
    listed = ", ".join(each.name for each in formats(Writes))  # type: ignore[type-abstract]
    raise IncompatibleError(
        f"{os.path.basename(path)}: Saver does not write {found.title}; it writes {listed}"
    )


def of_content(blob: Blob) -> Reads | None:
    """The format that recognizes a file."""
    return next((each for each in formats(Reads) if each.recognizes(blob)), None)  # type: ignore[type-abstract]


def of_path(path: str, chosen: Reads | None = None) -> tuple[Reads, str] | None:
    """The format of a folder, or of the beginning of several files' names, and the file to open first; only
    the `chosen` one, if there is one."""
    for each in formats(Reads) if chosen is None else (chosen,):  # type: ignore[type-abstract]
        first = each.first_of(path)
        if first is not None:
            return each, first
    return None


def missing(library: str, extra: str) -> SaverError:
    """The error for a library that a format needs and that is not installed."""
    return IncompatibleError(
        f"this needs the package {library}, which is not installed; pip install 'saver-ml[{extra}]'"
    )
