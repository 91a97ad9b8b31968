"""A version whose tensors are saved as shards: loaded whole and by box, shared, checked, moved, copied."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

import saver
from equality import assert_same
from saver.canonical import canonical
from saver.opening import open_file
from saver.pack import Pack
from saver.pack.verify import damaged
from saver.repo import manifest as manifests
from saver.repo.commit import commit
from saver.repo.described import described
from saver.repo.draft import Encoded
from saver.repo.gc import moving
from saver.repo.save import save_version
from saver.repo.stage import stage
from saver.storages.memory import MemoryStorage
from saver.tensors import Box, ShardedData, TensorData, TensorInfo, hashing, whole
from shards import cut_draft, rows

safe_open: Any = pytest.importorskip("safetensors").safe_open

GRID = [Box((r, c), (20, n)) for r in (0, 20) for c, n in ((0, 30), (30, 20))]
"""Four boxes of a table of 40 x 50."""


def values() -> dict[str, Any]:
    return {
        "net": {"table": np.arange(2000, dtype=np.float32).reshape(40, 50), "bias": np.arange(99.0)},
        "other": np.arange(500),
    }


def in_grid(name: str, array: Any) -> list[Box]:
    return GRID if array.shape == (40, 50) else [whole(array.shape)]


def in_rows(name: str, array: Any) -> list[Box]:
    return rows(array.shape, 7, 33)


def uncut(name: str, array: Any) -> list[Box]:
    return [whole(array.shape)]


@pytest.fixture
def store() -> saver.Saver:
    return saver.Saver(MemoryStorage())


def save(store: saver.Saver, obj: Any, cut: Any = in_grid, model: str = "m", **more: Any) -> saver.Version:
    return save_version(store._repo, cut_draft(model, obj, cut, **more))


def packs_of(store: saver.Saver) -> dict[str, Pack]:
    return {found.key: Pack(store.storage.open(found.key)) for found in store.storage.list("packs/")}


@pytest.mark.parametrize("cut", [in_grid, in_rows])
def test_a_sharded_tensor_is_loaded_whole_and_by_box(store: saver.Saver, cut: Any) -> None:
    save(store, values(), cut)
    assert_same(values(), store.load("m"))
    table = values()["net"]["table"]
    source = store._open("m").tensors
    (name,) = [name for name in source.names if source.info(name).shape == (40, 50)]
    assert len(source.info(name).shards) == len(cut(name, table))
    for box in (Box((5, 25), (30, 10)), Box((0, 0), (20, 30)), Box((39, 49), (1, 1)), whole((40, 50))):
        assert source.read(name, box).tobytes() == table[box.slices].tobytes()


def test_boxes_that_share_bytes_are_read_as_arrays_of_their_own(store: saver.Saver) -> None:
    quarters = [Box((r, c), (200, 200)) for r in (0, 200) for c in (0, 200)]

    def cut(name: str, array: Any) -> list[Box]:
        return quarters if array.shape == (400, 400) else [whole(array.shape)]

    save(store, {"c": np.zeros((200, 200))}, cut)
    save(store, {**{name: np.zeros((400, 400)) for name in "ab"}, "c": np.zeros((200, 200))}, cut)
    infos = store._open("m").tensors
    assert len({shard.extents for name in infos.names for shard in infos.info(name).shards}) == 1
    every: list[tuple[str, Box | None]] = [(name, box) for name in "ab" for box in quarters]
    for order in (["c", *every], [*every, "c"]):
        source = store._open("m").tensors
        asked = [("c", None) if each == "c" else each for each in order]
        found = [source.read(*each, mapped=True).view(np.float64) for each in asked]
        for number, array in enumerate(found, 1):
            array[:] = number
        assert [{*array.tolist()} for array in found] == [{number} for number in range(1, 10)]


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many bytes each call has read and verified."""
    calls: list[int] = []

    def counting(wanted: Any, progress: Any = None) -> set[str]:
        found = [(blob, [*ranges]) for blob, ranges in wanted]
        calls.append(sum(each.end - each.start for _, ranges in found for each in ranges))
        return damaged(found, progress)

    monkeypatch.setattr("saver.pack.source.damaged", counting)
    return calls


@pytest.fixture(params=[False, True], ids=["shards", "blocks"])
def small_blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param:
        monkeypatch.setattr(hashing, "BLOCK", 400)
        monkeypatch.setattr(hashing, "BLOCKS_FROM", 800)


@pytest.mark.usefixtures("small_blocks")
def test_boxes_that_were_announced_are_read_together_and_once(tmp_path: Path, fetched: list[int]) -> None:
    save(saver.Saver(tmp_path), values())
    table = values()["net"]["table"]
    source = saver.Saver(tmp_path)._open("m").tensors
    asked = [GRID[0], GRID[3], Box((18, 28), (4, 4)), Box((3, 3), (50, 50))]
    source.verify(["other"], None, {"net/table": asked})
    (read,) = fetched
    assert read <= values()["other"].nbytes + table.nbytes
    for mapped in (False, True):
        for box in (*asked[:3], GRID[0]):
            assert source.read("net/table", box, mapped).tobytes() == table[box.slices].tobytes()
    assert source.read("other").tobytes() == values()["other"].tobytes()
    assert sum(fetched) == read, "nothing is read again"
    with pytest.raises(ValueError, match="reaches beyond"):
        source.read("net/table", asked[3])


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("cut", [in_grid, in_rows, uncut])
def test_each_byte_is_read_once_whatever_was_announced(tmp_path: Path, fetched: list[int], cut: Any) -> None:
    save(saver.Saver(tmp_path), values(), cut)
    table = values()["net"]["table"]
    every = whole(table.shape)
    announced: list[list[Box]] = [[], [every], [GRID[1]], [*GRID], [GRID[0], every], [Box((7, 0), (1, 50))]]
    for asked in announced:
        for box in (None, every, *asked):
            source = saver.Saver(tmp_path)._open("m").tensors
            fetched.clear()
            source.verify([], None, {"net/table": asked})
            source.verify(["net/table"] if box is None else [], None, {"net/table": asked})
            announced_bytes = sum(fetched)
            assert source.read("net/table", box).tobytes() == table[(box or every).slices].tobytes()
            assert sum(fetched) <= table.nbytes, (asked, box)
            assert box not in (None, *asked) or sum(fetched) == announced_bytes, (asked, box)


def test_packs_of_shards_are_files_of_safetensors_that_describe_themselves(tmp_path: Path) -> None:
    store = saver.Saver(tmp_path)
    save(store, values())
    (path,) = (tmp_path / "packs").iterdir()
    table = values()["net"]["table"]
    with safe_open(path, "numpy") as file:
        told = json.loads(file.metadata()["saver"])["cuts"]["net/table"]
        assert told == {
            "shape": [40, 50],
            "shards": {
                f"net/table#{50 * box.offsets[0] + box.offsets[1]}": list(box.offsets) for box in GRID
            },
        }
        for number, box in zip((0, 30, 1000, 1030), GRID, strict=True):
            assert_same(table[box.slices], file.get_tensor(f"net/table#{number}"))


def test_shards_are_shared_one_by_one_whatever_they_belong_to(store: saver.Saver) -> None:
    first = save(store, values())
    changed = values()
    changed["net"]["table"][3, 40] += 1
    second = save(store, changed)
    assert second.bytes_added < first.bytes_added
    new = [pack for key, pack in packs_of(store).items() if key[6:-12] not in first.packs]
    assert [list(pack.shards) for pack in new] == [["net/table#30"]]
    assert new[0].cuts["net/table"].shards == {"net/table#30": (0, 30)}
    quarter = {"elsewhere": np.ascontiguousarray(values()["net"]["table"][:20, :30])}
    save(store, quarter, lambda name, array: [whole(array.shape)], "n", bases=("m@1",))
    assert set(store.version("n").packs) <= set(first.packs), "a tensor has the bytes of a shard"
    assert_same(values(), store.load("m@1"))
    assert_same(changed, store.load("m@2"))
    assert_same(quarter, store.load("n"))


def test_blocks_of_large_shards_are_shared(store: saver.Saver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashing, "BLOCK", 400)
    monkeypatch.setattr(hashing, "BLOCKS_FROM", 800)
    monkeypatch.setattr("saver.repo.dedup.PROBED", 800)
    save(store, values())
    changed = values()
    changed["net"]["table"][39, 49] += 1
    version = save(store, changed)
    (new,) = [pack for key, pack in packs_of(store).items() if key[6:-12] not in store.version("m@1").packs]
    assert [shard.length for shard in new.shards.values()] == [400]
    assert_same(changed, store.load("m"))
    assert_same(values(), store.load("m@1"))
    source = store._open(str(version)).tensors
    assert (
        source.read("net/table", Box((38, 29), (2, 21))).tobytes()
        == changed["net"]["table"][38:, 29:].tobytes()
    )


def test_the_cut_is_part_of_what_a_part_is(store: saver.Saver) -> None:
    """And the bytes are the same for all that."""
    numbers = [
        save(store, values(), cut).parts["net"].number
        for cut in (in_grid, in_grid, in_rows, lambda name, array: [whole(array.shape)])
    ]
    assert numbers == [1, 1, 2, 3]
    for number in (1, 3, 4):
        assert_same(values(), store.load(f"m@{number}"))
    assert store.diff("m@1", "m@3").arrays == (), "another cut does not change values"


def test_a_damaged_shard_is_named_and_healed_by_saving_it_again(store: saver.Saver) -> None:
    save(store, values())
    shard = store._repo.known(store.version("m"))["net/table#1000"]
    _flip(store, shard.extents[0])
    (damage,) = store.check().damage
    assert (damage.model, damage.part, damage.tensor) == ("m", "net", "net/table#1000")
    with pytest.raises(saver.DamagedError, match="net/table"):
        store.load("m")
    assert_same(values()["other"], store.load("m", parts=["other"])["other"])
    source = store._open("m").tensors
    box = GRID[1]
    assert source.read("net/table", box).tobytes() == values()["net"]["table"][box.slices].tobytes()
    save(store, values())
    assert_same(values(), store.load("m@1"))
    assert store.check().damage == ()


def _flip(store: saver.Saver, place: tuple[str, int, int]) -> None:
    key = f"packs/{place[0]}.safetensors"
    raw = bytearray(store.storage.read(key))
    raw[place[1]] ^= 1
    store.storage.delete(key)
    store.storage.create(key, bytes(raw))


def test_shards_are_moved_and_still_tell_whose_they_are(
    store: saver.Saver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moving, "DEAD_BYTES", 500)
    save(store, values())
    changed = values()
    changed["net"]["table"][:, :30] += 1
    changed["net"]["bias"] += 1
    changed["other"] += 1
    save(store, changed)
    opened = store._open("m@2").tensors
    store.delete("m@1")
    assert len(store.gc(grace=0).moved) == 1
    assert opened.read("net/table", GRID[1]).tobytes() == changed["net"]["table"][:20, 30:].tobytes()
    assert_same(changed, store.load("m@2"))
    assert store.check().damage == ()
    moved = [
        pack for pack in packs_of(store).values() if set(pack.shards) == {"net/table#30", "net/table#1030"}
    ]
    assert [pack.cuts["net/table"].shards for pack in moved] == [
        {"net/table#30": (0, 30), "net/table#1030": (20, 30)}
    ]


def test_a_backup_has_all_shards(store: saver.Saver) -> None:
    save(store, values())
    copy = MemoryStorage()
    assert store.backup(copy).whole
    assert_same(values(), saver.Saver(copy).load("m"))


def test_a_single_file_keeps_the_shards(store: saver.Saver, tmp_path: Path) -> None:
    version = save(store, values())
    path = tmp_path / "m.saver"
    store.export("m", path)
    assert_same(values(), saver.load(path))
    source = open_file(path).tensors
    box = Box((10, 20), (20, 20))
    assert source.read("net/table", box).tobytes() == values()["net"]["table"][box.slices].tobytes()
    for part in saver.describe(path).parts:
        assert part.hash == version.parts[part.name].hash
    store.import_(path, "again")
    assert_same(values(), store.load("again"))
    assert {n: p.hash for n, p in store.version("again").parts.items()} == {
        n: p.hash for n, p in version.parts.items()
    }


LIES: dict[str, Callable[[list[dict[str, Any]]], Any]] = {
    "a gap": lambda shards: shards.pop(),
    "an overlap": lambda shards: shards[1].update(box=[[0, 29], [20, 20]]),
    "beyond the shape": lambda shards: shards[3].update(box=[[20, 31], [20, 20]]),
    "before the tensor": lambda shards: shards[0].update(box=[[-1, 0], [20, 30]]),
    "one of all": lambda shards: shards[0].pop("box"),
    "twice": lambda shards: shards.insert(0, shards[0]),
    "another order": lambda shards: shards.reverse(),
    "fewer axes": lambda shards: shards[0].update(box=[[0], [600]]),
    "more axes": lambda shards: shards[0].update(box=[[0, 0, 0], [20, 30, 1]]),
    "no shards": lambda shards: shards.clear(),
    "a box of one side": lambda shards: shards[0].update(box=[[0, 0]]),
    "other bytes": lambda shards: shards[0].update(box=[[0, 0], [30, 20]]),
    "very large": lambda shards: shards[0].update(box=[[0, 0], [10**15, 30]]),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_manifest_with_boxes_that_do_not_tile_is_damaged(store: saver.Saver, lie: str) -> None:
    version = save(store, values())
    honest = json.loads(store.storage.read(manifests.manifest_key(version.manifest)))
    described(manifests.decode(canonical(honest), "m@1"), "m@1")
    LIES[lie](honest["tensors"]["net/table"]["shards"])
    with pytest.raises(saver.IncompatibleError):
        described(manifests.decode(canonical(honest), "m@1"), "m@1")


def test_a_manifest_with_the_boxes_swapped_is_damaged(store: saver.Saver) -> None:
    """They still tile; their hashes are other shards', so the part is another one."""
    save(store, values())
    info = store._repo.tensors(store.version("m"))["net/table"]
    swapped = [*info.shards[1::2], *info.shards[::2]]
    assert info.covered != TensorInfo(info.name, info.dtype, info.shape, tuple(swapped)).covered


CUTS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "a gap": lambda cuts: cuts["net/table"]["shards"].pop("net/table#1030"),
    "an overlap": lambda cuts: cuts["net/table"]["shards"].update({"net/table#30": [0, 29]}),
    "beyond the shape": lambda cuts: cuts["net/table"].update(shape=[40, 49]),
    "before the tensor": lambda cuts: cuts["net/table"]["shards"].update({"net/table#0": [-1, 0]}),
    "a shard that is not there": lambda cuts: cuts["net/table"]["shards"].update({"x": [0, 0]}),
    "a shard of two": lambda cuts: cuts.update(two={"shape": [20, 30], "shards": {"net/table#0": [0, 0]}}),
    "the name of another": lambda cuts: cuts.update(other=cuts.pop("net/table")),
    "another dtype": lambda cuts: cuts["net/table"]["shards"].update({"other": [40, 0]}),
    "no shards": lambda cuts: cuts["net/table"].update(shards={}),
    "no offsets": lambda cuts: cuts["net/table"]["shards"].update({"net/table#0": []}),
    "no number": lambda cuts: cuts["net/table"]["shards"].update({"net/table#0": ["0", "0"]}),
}


@pytest.mark.parametrize("lie", CUTS)
def test_a_file_with_boxes_that_do_not_tile_is_damaged(store: saver.Saver, lie: str, tmp_path: Path) -> None:
    from blake3 import blake3

    save(store, values())
    path = tmp_path / "m.saver"
    store.export("m", path)
    raw = path.read_bytes()
    size = 8 + int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8:size])
    own = json.loads(header["__metadata__"]["saver"])
    CUTS[lie](own["cuts"])
    header["__metadata__"].update({"saver": json.dumps(own), "saver.header": "0" * 64})
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    head = (size - 8).to_bytes(8, "little") + text.ljust(size - 8)
    assert len(head) == size
    path.write_bytes(head[:41] + blake3(head).hexdigest().encode() + head[105:] + raw[size:])
    with pytest.raises(saver.IncompatibleError):
        saver.load(path)


def among(whole: Encoded, stagers: int, who: Callable[[int], int]) -> list[Encoded]:
    """The shards of a version dealt out to stagers, by the number of each shard; the parts to the first."""
    found: list[dict[str, ShardedData]] = [{} for _ in range(stagers)]
    numbers = count()
    for name, data in whole.sharded.items():
        for offsets, shard in sorted(data.shards.items()):
            own = found[who(next(numbers))]
            before = own.get(name, ShardedData(data.dtype, data.shape, {}))
            own[name] = msgspec.structs.replace(before, shards={**before.shards, offsets: shard})
    return [
        msgspec.structs.replace(whole, parts={} if number else whole.parts, sharded=sharded)
        for number, sharded in enumerate(found)
    ]


@pytest.mark.parametrize("small", [True, False], ids=["a small version", "a large one"])
@pytest.mark.parametrize("stagers", [2, 3, 5])
def test_each_may_stage_some_boxes_of_a_tensor(
    stagers: int, small: bool, store: saver.Saver, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not small:
        monkeypatch.setattr("saver.repo.stage.FILE_BYTES", 0)
    whole_draft = cut_draft("m", values(), in_rows)
    alone = save_version(store._repo, msgspec.structs.replace(whole_draft, model="alone"))
    pieces = among(whole_draft.encoded, stagers, lambda number: number * 7 % stagers)
    repos = [saver.Saver(store.storage)._repo for _ in pieces]
    staged = [stage(repo, "m", piece) for repo, piece in zip(repos, pieces, strict=True)]
    version = commit(store._repo, staged, whole_draft)
    assert_same(values(), saver.Saver(store.storage).load("m"))
    hashes = [{name: part.hash for name, part in found.parts.items()} for found in (version, alone)]
    assert hashes[0] == hashes[1], "however it was staged"
    assert store.check().sound


def test_boxes_that_nobody_staged_or_two_did_make_no_version(store: saver.Saver) -> None:
    whole_draft = cut_draft("m", values(), in_grid)
    pieces = among(whole_draft.encoded, 2, lambda number: number % 2)
    staged = [stage(store._repo, "m", piece) for piece in pieces]
    (other,) = among(cut_draft("m", values(), in_rows).encoded, 1, lambda number: 0)
    rest = {name: data for name, data in other.sharded.items() if name == "net/table"}
    overlapping = stage(store._repo, "m", msgspec.structs.replace(other, parts={}, sharded=rest))
    table = pieces[1].sharded["net/table"]
    wider = msgspec.structs.replace(table, shape=(41, 50))
    longer = stage(store._repo, "m", msgspec.structs.replace(other, parts={}, sharded={"net/table": wider}))
    others = {place: TensorData("I32", part.shape, part.data) for place, part in table.shards.items()}
    mixed = ShardedData("I32", table.shape, others)
    typed = stage(store._repo, "m", msgspec.structs.replace(other, parts={}, sharded={"net/table": mixed}))
    before = set(store.storage.keys("log/"))
    for chosen, why in (
        ([staged[0]], "net/table.*do not tile"),
        ([*staged, staged[1]], "was staged twice"),
        ([*staged, overlapping], "was staged twice|do not tile"),
        ([staged[0], longer], "net/table' has the shape"),
        ([staged[0], typed], "different dtypes"),
    ):
        with pytest.raises(saver.CannotSaveError, match=why):
            commit(store._repo, chosen, whole_draft)
    assert set(store.storage.keys("log/")) == before
    assert commit(store._repo, staged, whole_draft).number == 1
