"""Writes versions and files in the formats of other tools, durably and whole, or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any, TypeAlias

import msgspec

from saver import arguments
from saver.clear import warn_of_file
from saver.disk.beside import Beside
from saver.disk.durable import NewFile
from saver.disk.files import FILES
from saver.errors import CannotWriteError, IncompatibleError, SaverError, kind_of
from saver.format import DEFAULT, Chosen, Loading, Loss, Out, Writes, by_ending, named
from saver.human import size
from saver.line import Showing, shown
from saver.opened import Opened
from saver.opening import open_file
from saver.page import Facts, Page, Shown, Table
from saver.sealing import sealed
from saver.signed import demand_file
from saver.storage import Content, Progress
from saver.streams import READ, Source, Target, path_of, write_in_order

OWN = "saver"
"""The format of files whose ending says nothing."""


class Exported(Shown, msgspec.Struct, frozen=True):
    """What was written: `bytes` in all, and the `losses`, what the format could not hold. `path` is "" for a
    file object."""

    path: str
    format: str
    bytes: int
    losses: tuple[Loss, ...]

    def _line(self) -> str:
        lost = f", {len(self.losses):,} lost" if self.losses else ""
        return f"{self.path or 'a file object'} ({self.format}), {size(self.bytes)}{lost}"

    def _page(self) -> Page:
        facts = Facts("", {"path": self.path, "format": self.format, "size": size(self.bytes)})
        return [facts, *losses_page(self.losses)]


def losses_page(losses: Sequence[Loss]) -> Page:
    """What people read of losses; nothing if there are none."""
    rows = [(loss.place, loss.what) for loss in losses]
    return [Table("Not in it", ("where", "what"), rows)] if rows else []


@shown("exporting")
def export(
    path: Source,
    target: Target,
    *,
    format: str | None = None,
    parts: Iterable[str] | None = None,
    trust: Iterable[str] = (),
    classes: Mapping[str, Any] | None = None,
    limit: int | str | None = None,
    example: Any = None,
    key: Any = None,
    to: Any = None,
    compress: bool = False,
    progress: Showing = None,
) -> Exported:
    """Write what a file holds to another file, in the format of another tool. Returns what was written, with
    `losses`: all that the format cannot hold.

    The format is that of the ending of `target`, or `format`: see docs/formats.md. `path` is a file that
    Saver can open, whatever wrote it. What is written is durable and whole when this returns; a file at
    `target` is replaced, a folder only if it is empty.

    Most formats are written without building objects, so no class needs to be trusted. Those that are written
    from an object, such as ONNX, load it: `trust`, `classes` and `limit` are those of `saver.load`. Some
    objects are written only if it is known what they are called with: `example` is an array, a tensor, a
    frame, a dict of them by name, or a tuple of several arguments.

    `key` opens a sealed file, as in `saver.load`. With `to`, the new file is sealed, and with `compress` it
    is compressed, as in `saver.dump`; only files of Saver can be.

    Raises IncompatibleError if the format can hold nothing of it, CannotWriteError if it could not be
    written, and the errors of `saver.load` for `path`.
    """
    progress = arguments.callback("progress", progress)
    loading = Loading(arguments.loading(trust, classes, limit), limit, example)
    names = None if parts is None else arguments.texts("parts", parts)
    packed = arguments.compressing(compress)
    path_of(target, "target")
    opened = demand_file(open_file(path, key=key), None)
    return export_out(opened, target, format, names, loading, progress, to, packed)


def export_out(
    opened: Opened, target: Target, format: str | None, parts: Sequence[str] | None, loading: Loading,
    progress: Progress | None, to: Any, compress: bool,
) -> Exported:  # fmt: skip
    """Write an opened version or file where others may read, as `export` does: it warns if what was sealed is
    in clear there."""
    if to is None:
        path = path_of(target, "path")
        name = _format(path, format).name
        warn_of_file(opened, path or "the file object", name, name == OWN)
    return export_opened(opened, target, format, parts, loading, progress, to, compress)


def export_opened(
    opened: Opened,
    target: Target,
    format: str | None = None,
    parts: Sequence[str] | None = None,
    loading: Loading = DEFAULT,
    progress: Progress | None = None,
    to: Any = None,
    compress: bool = False,
) -> Exported:
    """Write an opened version or file, as `export` does."""
    path = path_of(target, "path")
    chosen = Chosen(opened, tuple(dict.fromkeys(opened.trees if parts is None else parts)), loading)
    for part in chosen.parts:
        opened.tree(part)
    found = _format(path, format)
    if (to is not None or compress) and found.name != OWN:
        what, leave = ("sealed", "to") if to is not None else ("compressed", "compress")
        raise IncompatibleError(
            f"{path or 'the file object'}: the format {found.name} cannot be {what}; write a file of Saver "
            f"(.saver), or leave `{leave}` out"
        )
    form = partial(sealed, to=to, compress=compress, place=path or "the file")
    with ExitStack() as stack:
        out: _Local | _Stream
        out = _Stream(target, stack, form) if path is None else _Local(found.base(path), stack, form)
        losses = tuple(out.guarded(found, chosen, progress))
    return Exported(path or "", found.name, out.bytes, losses)


def replaced_by(path: str, format: str | None) -> str:
    """The file or folder that `export` would replace, which may not exist."""
    found = _format(path, format)
    return f"{found.base(path)}{found.last}"


def _format(path: str | None, name: str | None) -> Writes:
    if name is not None and not isinstance(name, str):
        raise TypeError(f"format: {kind_of(name)} given; pass its name, such as 'npz'")
    found = by_ending(path) if name is None and path is not None else None
    return found or named(Writes, OWN if name is None else name)  # type: ignore[type-abstract]


Form: TypeAlias = Callable[[Content], Content]
"""What becomes of a content: it may be compressed and sealed."""


class _Local(Out):
    """Files and folders at a path."""

    def __init__(self, path: str, stack: ExitStack, form: Form) -> None:
        self.bytes = 0
        self._form = form
        self._path, self._stack = os.path.abspath(path), stack
        self._shown = path
        self._ready: dict[str, NewFile | Beside] = {}
        self._folder: Beside | None = None

    @property
    def stem(self) -> str:
        return os.path.basename(self._path)

    def add(self, name: str, content: Content) -> None:
        if name.startswith("/"):
            with NewFile(self._in_folder(name), content.size) as inner:
                content.write(inner)
                inner.commit()
        else:
            content = self._form(content)
            file = self._stack.enter_context(NewFile(f"{self._shown}{name}", content.size))
            content.write(file)
            file.shrink(content.size)
            self._ready[name] = file
            self.bytes += content.size

    def path(self, name: str) -> str:
        if name.startswith("/"):
            return self._in_folder(name)
        beside = self._stack.enter_context(Beside(f"{self._shown}{name}", folder=False))
        self._ready[name] = beside
        return beside.hidden

    def _in_folder(self, name: str) -> str:
        if self._folder is None:
            self._folder = self._stack.enter_context(Beside(self._shown.rstrip("/") or "/", folder=True))
            self._ready["/"] = self._folder
        return f"{self._folder.hidden}{name}"

    def guarded(self, format: Writes, chosen: Chosen, progress: Progress | None) -> Sequence[Loss]:
        """Write, then give everything its name. An OSError of a library means that it could not write."""
        try:
            losses = format.write(chosen, self, progress)
        except OSError as error:
            if isinstance(error, SaverError):
                raise
            raise CannotWriteError(
                f"{self._shown}: {error.strerror or error}; nothing was changed there; free some space, or "
                "choose another folder"
            ) from error
        self._commit()
        return losses

    def _commit(self) -> None:
        """The last of several files makes the others count: an older one is removed before they change."""
        *_, last = self._ready
        if len(self._ready) > 1 and os.path.lexists(f"{self._shown}{last}"):
            FILES.remove(f"{self._shown}{last}")
            FILES.sync_folder(os.path.dirname(self._path))
        for file in self._ready.values():
            if isinstance(file, Beside):
                self.bytes += file.size
            file.commit()


class _Stream(Out):
    """A file object, which takes one file."""

    def __init__(self, target: Any, stack: ExitStack, form: Form) -> None:
        self.bytes = 0
        self._form = form
        self._target, self._stack = target, stack
        self._path = ""

    @property
    def stem(self) -> str:
        return ""

    def add(self, name: str, content: Content) -> None:
        self._only(name)
        content = self._form(content)
        write_in_order(self._target, content.pieces())
        self.bytes = content.size

    def path(self, name: str) -> str:
        self._only(name)
        folder = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="saver-"))
        self._path = os.path.join(folder, "file")
        return self._path

    @staticmethod
    def _only(name: str) -> None:
        if name:
            raise TypeError("path: this format consists of several files; pass a path, not a file object")

    def guarded(self, format: Writes, chosen: Chosen, progress: Progress | None) -> Sequence[Loss]:
        """Write; errors of the file object are passed on."""
        losses = format.write(chosen, self, progress)
        if self._path:
            self.bytes = os.path.getsize(self._path)
            with open(self._path, "rb") as file:
                write_in_order(self._target, iter(lambda: file.read(READ), b""))
        return losses
