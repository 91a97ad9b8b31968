"""Pages: documents with the shards that one process staged, of versions in the grid form (`repo/grid.py`).

They are objects of the kind that `repo/trees.py` describes, named by the hash of their bytes, with a random
salt; versions in which a page did not change share it. Unlike the headers of packs, they know the shards that
are shared with older versions, and they stay where they are when bytes move.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial

import msgspec
from blake3 import blake3

from saver.canonical import in_order
from saver.errors import DamagedError, IncompatibleError
from saver.repo.forms import TensorForm, check_tensors, demand_whole, tensor_form
from saver.repo.grid import Grid
from saver.repo.objects import tree_key
from saver.storage import Storage
from saver.strict import decodable, restated, strict_json
from saver.tensors import Box, Shard, TensorInfo, check_boxes, check_inside, shard_names, whole

_BEGIN, _MIDDLE, _END = b'{"salt":"', b'","shards":', b"}"
_CONTENT = len(_BEGIN) + 32 + len(_MIDDLE)


@decodable
class Page(msgspec.Struct, frozen=True, kw_only=True):
    """Shards of tensors, by the name of the tensor, as a manifest describes all of them."""

    packs: tuple[str, ...] = ()
    tensors: Mapping[str, TensorForm]


_page = msgspec.json.Decoder(Page)


def page_of(tensors: Mapping[str, TensorInfo]) -> Page:
    """A page with tensors of which it need not have all shards."""
    packs = sorted(
        {extent[0] for info in tensors.values() for each in info.shards for extent in each.extents}
    )
    numbers = {pack: at for at, pack in enumerate(packs)}
    forms = {name: tensor_form(tensors[name], numbers) for name in in_order(tensors)}
    return Page(packs=tuple(packs), tensors=forms)


def encode(page: Page, salt: str) -> tuple[str, bytes]:
    """The name and the bytes of the document of a page; `salt` has 32 characters."""
    data = b"".join((_BEGIN, salt.encode(), _MIDDLE, msgspec.json.encode(page), _END))
    return blake3(data).hexdigest(), data


def decode(data: bytes, name: str, where: str) -> Page:
    """The page in a document. Raises DamagedError unless the bytes are those that were written, and
    IncompatibleError if they are not a page."""
    if blake3(data).hexdigest() != name:
        raise DamagedError(
            f"{where}: {tree_key(name)}: the bytes are not those that were written; restore that file from a "
            "copy of the store"
        )
    if not (data.startswith(_BEGIN) and data[_CONTENT - len(_MIDDLE) : _CONTENT] == _MIDDLE):
        raise IncompatibleError(f"{where}: {tree_key(name)} is not a page; no Saver wrote this")
    found = _decoded(data[_CONTENT : -len(_END)], f"{where}: {tree_key(name)}")
    check_tensors(found.tensors, len(found.packs), f"{where}: {tree_key(name)}")
    return found


def _decoded(text: bytes, where: str) -> Page:
    try:
        found = _page.decode(text)
        if msgspec.json.encode(found) == text:  # so no key is there twice
            return found
    except (msgspec.DecodeError, ValueError, RecursionError):
        pass  # raised below
    try:
        return restated(strict_json(text, where, own=True), _page)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise IncompatibleError(f"{where}: a page is malformed: {error}") from None


Read = Callable[[str], bytes]
"""Reads an object by its key. Raises NotFoundError or DamagedError."""

Shards = Mapping[str, TensorInfo]
"""What a page has: tensors by name, with some or all of their shards."""


class Pages:
    """The pages of a version, each read and verified when it is first needed. `packs` are those of the
    version: others cannot be named."""

    def __init__(
        self,
        grid: Grid,
        packs: Collection[str],
        storage: Storage,
        read: Read,
        where: str,
    ) -> None:
        self.grid, self.where = grid, where
        self._packs, self._storage, self._read = frozenset(packs), storage, read
        self.there: dict[str, Shards] = {}
        """Those that were read, by name."""

    def know(self, pages: Mapping[str, Shards]) -> None:
        """These pages need not be read, as far as the version has them."""
        self.there |= {name: pages[name] for name in self.grid.pages if name in pages}

    def shards(self, name: str, box: Box | None = None) -> list[Shard]:
        """The shards of a tensor, or those in pages that may have elements of a box, in the order of their
        offsets. Raises DamagedError or IncompatibleError."""
        box = None if box is not None and not all(box.sizes) else box
        numbers = self.grid.all_of(name) if box is None else self.grid.pages_of(name, box)
        self.load(self.grid.pages[at] for at in numbers)
        infos = [info for at in numbers if (info := self.there[self.grid.pages[at]].get(name)) is not None]
        return sorted((each for info in infos for each in info.shards), key=lambda each: each.box.offsets)

    def load(self, pages: Iterable[str]) -> None:
        """Read and verify these pages, unless they are there."""
        names = [name for name in pages if name not in self.there]
        for start in range(0, len(names), TOGETHER):
            some = names[start : start + TOGETHER]
            asks = [partial(self._read, tree_key(name)) for name in some]
            for name, data in zip(some, self._storage.together(asks), strict=True):
                self.there[name] = self._checked(name, decode(data, name, self.where))

    def _checked(self, name: str, page: Page) -> Shards:
        where = f"{self.where}: {tree_key(name)}"
        if not self._packs.issuperset(page.packs):
            raise IncompatibleError(
                f"{where}: it names a pack that the manifest does not; no Saver wrote this"
            )
        found: dict[str, TensorInfo] = {}
        for tensor, form in page.tensors.items():
            given = self.grid.tensors.get(tensor)
            if given is None or (given.dtype, given.shape) != (form.dtype, form.shape):
                raise IncompatibleError(
                    f"{where}: it says of {tensor[:80]!r} something else than the manifest; restore the "
                    "folders manifests/ and trees/ from a copy of the store"
                )
            shards = tuple([shard.placed(form, page.packs) for shard in form.shards])
            try:
                check_inside(form.shape, [shard.box for shard in shards])
            except ValueError as error:
                raise IncompatibleError(f"{where}: {tensor[:80]!r}: {error}") from None
            found[tensor] = TensorInfo(tensor, form.dtype, form.shape, shards)
            demand_whole(found[tensor], where)
        return found


TOGETHER = 64
"""Pages that are requested at once."""


class Gridded(Mapping[str, TensorInfo]):
    """The tensors of a version in the grid form, by name: their shards are read from pages when they are
    needed. `now` says where the bytes of a shard are now."""

    def __init__(self, pages: Pages, now: Callable[[Shard], Shard] | None = None) -> None:
        self.pages, self._now = pages, now
        self._tensors = pages.grid.tensors

    def __len__(self) -> int:
        return len(self._tensors)

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __contains__(self, name: object) -> bool:
        return name in self._tensors

    def __getitem__(self, name: str) -> TensorInfo:
        tensor = self._tensors[name]
        return TensorInfo(name, tensor.dtype, tensor.shape, self.shards(name, whole(tensor.shape)))

    def outline(self, name: str) -> TensorInfo:
        """What a tensor is; its shards are read when they are requested."""
        tensor = self._tensors[name]
        return _Outline(name, tensor.dtype, tensor.shape, (), self)

    def shards(self, name: str, box: Box) -> tuple[Shard, ...]:
        """The shards that have elements of a box of a tensor; all of them for the box of the whole tensor.
        Raises IncompatibleError unless what they have of the box tiles it."""
        shape = self._tensors[name].shape
        every = box.sizes == shape
        found = self.pages.shards(name, None if every else box)
        try:
            if not found:
                raise ValueError("no page has any of it")
            if every:
                check_boxes(shape, [shard.box for shard in found])
            else:
                found = [shard for shard in found if shard.box.cut(box)]
                parts = [part.within(box) for each in found if (part := each.box.cut(box)) is not None]
                check_boxes(box.sizes, sorted(parts, key=lambda part: part.offsets))
        except ValueError as error:
            raise IncompatibleError(f"{self.pages.where}: {name[:80]!r}: {error}") from None
        if self._now is not None:
            found = [*map(self._now, found)]
            info = TensorInfo(name, self._tensors[name].dtype, shape, tuple(found))
            demand_whole(info, self.pages.where)
        return tuple(found)

    def near(self, boxes: Mapping[str, Sequence[Box]]) -> tuple[dict[str, Shard], Mapping[str, Shards]]:
        """All shards of the pages that may have elements of these boxes of tensors, by their names in packs;
        and those pages, by name. If there are few, it is all of them."""
        grid, there = self.pages.grid, self.pages.there
        known = ((name, box) for name in boxes.keys() & grid.tensors.keys() for box in boxes[name])
        fitting = ((name, box) for name, box in known if box.fits(grid.tensors[name].shape))
        numbers: Iterable[int] = range(len(grid.pages))
        if len(grid.pages) > TOGETHER:
            numbers = sorted({page for name, box in fitting for page in grid.pages_of(name, box)})
        self.pages.load(grid.pages[number] for number in numbers)
        found: dict[str, Shard] = {}
        for page in (there[grid.pages[number]] for number in numbers):
            for name, info in page.items():
                names = shard_names(name, info.shape, info.boxes, self._tensors)
                now = info.shards if self._now is None else map(self._now, info.shards)
                found.update(zip(names, now, strict=True))
        return found, {grid.pages[number]: there[grid.pages[number]] for number in numbers}

    def moved(self, now: Callable[[Shard], Shard]) -> Gridded:
        """The same, with the bytes of each shard where they are now."""
        return Gridded(self.pages, now)


class _Outline(TensorInfo, frozen=True, gc=False):
    """A tensor whose shards are read when they are requested."""

    tensors: Gridded

    @property  # type: ignore[misc]
    def shards(self) -> tuple[Shard, ...]:
        return self.tensors[self.name].shards
