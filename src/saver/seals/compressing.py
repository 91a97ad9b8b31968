"""Writes compressed files: frame by frame, in the threads of the writer, or in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from threading import Lock
from typing import TypeAlias

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from saver.errors import CannotWriteError
from saver.memory import huge_pages
from saver.seals.frames import ENTRY, FRAME, Cuts, Stored, cuts_of, in_order, items_of, padded, table_of
from saver.seals.layout import COMMITMENT, Head, header_of
from saver.seals.zstd import NAME, WORTH, demand, pack
from saver.storage import ALIGNMENT, Content, Progress, Sink

Frame: TypeAlias = "tuple[Stored, bytes | memoryview]"

TINY = 32 << 10
"""Contents up to this size stay as they are: a compressed file has three pages at least."""

SMALL = 8 << 20
"""Contents up to this size are compressed before they are written, and stay as they are if that gains
less than a tenth."""

HELD = 64 << 20
"""So many compressed bytes wait in memory until the sizes of all frames are known. If there are more, they
are compressed a second time."""


def compressed(content: Content) -> Content:
    """The content, compressed; itself if it is small, and compression gains little."""
    demand()
    if content.size <= TINY:
        return content
    found = CompressedContent(content)
    if content.size <= SMALL:
        found.settle(quietly=True)
        return found if found.size < WORTH * content.size else found.given_back()
    return found


class CompressedContent(Content):
    """A content, compressed. `size` is an upper bound until it is written, or `settle` was called."""

    def __init__(self, content: Content) -> None:
        self._content = content
        self._cuts = cuts_of(content)
        self._items = items_of(content, self._cuts)
        most = sum(padded(self._cuts.length(number)) for number in range(self._cuts.count))
        self.size = ALIGNMENT + most + ENTRY.itemsize * self._cuts.count
        self._settled: list[Stored] | None = None
        self._held: list[bytes] | None = None
        self._progress: Progress | None = getattr(content, "progress", None)
        self._settling = False
        if self._progress is not None:
            content.progress = self._report  # type: ignore[attr-defined]

    def given_back(self) -> Content:
        """The content as it was."""
        if self._progress is not None:
            self._content.progress = self._progress  # type: ignore[attr-defined]
        return self._content

    def _report(self, done: int, total: int) -> None:
        """Report bytes of the content, each once: half of them when they are compressed ahead of time, for
        the sizes, and the other half when they are written."""
        if self._progress is None:
            return
        if self._settling:
            self._progress(done // 2, total)
        elif self._settled is not None:
            self._progress(total - (total - done) // 2, total)
        else:
            self._progress(done, total)

    # Sizes

    def settle(self, quietly: bool = False) -> None:
        """Compress everything, so that all sizes are known; keep what is not much. Reports progress, unless
        `quietly`."""
        if self._settled is not None:
            return
        progress, self._settling = self._progress, True
        self._progress = None if quietly else progress
        try:
            self._settle()
        finally:
            self._progress, self._settling = progress, False

    def _settle(self) -> None:
        found: dict[int, Stored] = {}
        held: dict[int, bytes] | None = {}
        total, lock = 0, Lock()

        def took(number: int, frame: Frame) -> None:
            nonlocal total, held
            with lock:
                found[number] = frame[0]
                total += frame[0].length
                if held is not None and total <= HELD:
                    held[number] = bytes(frame[1])
                else:
                    held = None

        self._through(took)
        self._settled = [found[number] for number in range(self._cuts.count)]
        self._held = None if held is None else [held[number] for number in range(self._cuts.count)]
        self._sized(self._settled)

    def _sized(self, stored: list[Stored]) -> int:
        """Note the size of the file, now that those of all frames are known; returns that of the frames."""
        total = sum(padded(each.length) for each in stored)
        self.size = ALIGNMENT + total + ENTRY.itemsize * len(stored)
        return total

    def _through(self, took: Callable[[int, Frame], None]) -> None:
        """Compress all frames, in any order."""
        sink = FrameSink(self._cuts, lambda number, data: took(number, self._packed(number, data)))
        self._content.write(sink)
        sink.finish()

    def _packed(self, number: int, data: memoryview) -> Frame:
        found = pack(data, self._items[number])
        if self._settled is not None and found[0] != self._settled[number]:
            raise CannotWriteError(
                "a tensor changed while it was being saved; nothing was written; save when nothing changes it"
            )
        return found

    # Writing

    def write(self, sink: Sink) -> None:
        if self._held is not None:
            super().write(sink)
            return
        known = self._settled
        offsets = [0] * self._cuts.count if known is None else in_order(known)
        stored: dict[int, Stored] = {}
        rooms: list[NDArray[np.uint8]] = []
        end, lock = 0, Lock()

        def took(number: int, frame: Frame) -> None:
            nonlocal end
            length = padded(frame[0].length)
            with lock:
                stored[number] = frame[0]
                if known is None:
                    offsets[number], end = end, end + length
                room = rooms.pop() if rooms else huge_pages(FRAME)
            room[: frame[0].length] = np.frombuffer(frame[1], np.uint8)
            room[frame[0].length : length] = 0
            sink.write_aligned(room.data[:length], ALIGNMENT + offsets[number])
            with lock:
                rooms.append(room)

        self._through(took)
        in_turn = [stored[number] for number in range(self._cuts.count)]
        total, table = self._sized(in_turn), table_of(in_turn, offsets)
        sink.write(table, ALIGNMENT + total)
        sink.write(self._header(total, table), 0)

    def pieces(self) -> Iterator[bytes | memoryview]:
        self.settle()
        stored = self._settled or []
        table = table_of(stored, in_order(stored))
        yield self._header(self._sized(stored), table)
        if self._held is not None:
            frames: Iterator[bytes | memoryview] = iter(self._held)
        else:
            frames = (self._packed(*each)[1] for each in _in_frames(self._content, self._cuts))
        for number, frame in enumerate(frames):
            yield frame
            if len(frame) % ALIGNMENT:
                yield bytes(-len(frame) % ALIGNMENT)
            if self._held is not None:
                self._report(self._cuts.end(number), self._cuts.size)
        yield table

    def _header(self, total: int, table: bytes) -> bytes:
        return header_for(self._cuts, total, table)


def header_for(cuts: Cuts, total: int, table: bytes) -> bytes:
    """The header of a compressed file. Its commitment is the hash of itself, with zeros there, and its salt
    that of the table: so no altered byte of either is used."""
    head = Head("0" * 64, NAME, blake3(table).hexdigest(), cuts.size, cuts.first)
    header = header_of(head, total, len(table))
    digest = blake3(header).hexdigest().encode()
    return b"".join((header[: COMMITMENT.start], digest, header[COMMITMENT.stop :]))


def _in_frames(content: Content, cuts: Cuts) -> Iterator[tuple[int, memoryview]]:
    """The frames of what `content` yields, in order."""
    number, held = 0, bytearray()
    for piece in content.pieces():
        held += piece
        while number < cuts.count and len(held) >= cuts.length(number):
            yield number, memoryview(bytes(held[: cuts.length(number)]))
            del held[: cuts.length(number)]
            number += 1
    if held or number < cuts.count:
        raise AssertionError(f"{content.size} bytes were announced, and another number yielded")


class FrameSink(Sink):
    """Passes whole frames of what is written, in any order, to `take`, each once. Parts of frames wait in
    memory for the others."""

    computes = True

    def __init__(self, cuts: Cuts, take: Callable[[int, memoryview], None]) -> None:
        self._cuts = cuts
        self._pass_on = take
        self._done = np.zeros(cuts.count, np.bool_)
        self._waiting: dict[int, tuple[bytearray, list[int]]] = {}
        self._lock = Lock()

    def write(self, data: bytes | memoryview, offset: int) -> None:
        self._take(memoryview(data).cast("B"), offset)

    def write_aligned(self, data: memoryview, offset: int) -> None:
        self._take(data.cast("B")[: max(self._cuts.size - offset, 0)], offset)

    def _take(self, data: memoryview, offset: int) -> None:
        at = 0
        while at < len(data):
            number = self._cuts.number(offset + at)
            start, end = self._cuts.start(number), self._cuts.end(number)
            piece = data[at : end - offset]
            if len(piece) == end - start:
                self._finished(number, piece)
            else:
                self._keep(number, piece, offset + at - start)
            at += len(piece)

    def _keep(self, number: int, piece: memoryview, at: int) -> None:
        with self._lock:
            length = self._cuts.length(number)
            held, missing = self._waiting.setdefault(number, (bytearray(length), [length]))
            held[at : at + len(piece)] = piece
            missing[0] -= len(piece)
            if missing[0] > 0:
                return
            del self._waiting[number]
        self._finished(number, memoryview(held))

    def _finished(self, number: int, data: memoryview) -> None:
        with self._lock:
            if self._done[number]:
                raise AssertionError("a frame was written twice")
            self._done[number] = True
        self._pass_on(number, data)

    def finish(self) -> None:
        """Raise AssertionError if bytes are missing."""
        if not self._done.all():
            raise AssertionError("some bytes of a compressed object were not written")
