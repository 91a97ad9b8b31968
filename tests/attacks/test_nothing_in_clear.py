"""What a sealed store leaves on disks tells nothing of what is in it: not in its objects, their names, a
backup, what is kept on this machine, or anything that was there only for a moment."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from blake3 import blake3

pytest.importorskip("cryptography")
pytest.importorskip("pyrage")

import saver
from equality import assert_same
from saver.cluster import Network
from saver.clusters.memory import MemoryCluster
from saver.clusters.storage import StorageCluster
from saver.distributed.corners import SealedCorner, secret_of
from saver.distributed.members import leave
from saver.errors import DamagedError, KeyNeededError, NotFoundError
from saver.keys import age
from saver.repo import resumable
from saver.storage import Blob, Storage
from saver.storages._wrapped import WrappedStorage
from saver.storages.local import LocalStorage
from saver.storages.memory import MemoryBlob, MemoryStorage
from saver.tensors.hashing import BLOCK
from saver.testing import Crash, FaultyFiles, FaultyStorage

pytestmark = pytest.mark.slow
RNG = np.random.default_rng(17)


@dataclasses.dataclass(eq=False)
class ConfidentialGearbox:
    """A class whose name is secret."""

    confidential_attribute: Any


TRUST = [f"{__name__}.ConfidentialGearbox"]

WORDS = (
    "confidential_model", "confidential_part", "confidential_tensor", "confidential_tag",
    "confidential_label", "confidential_value", "confidential note", "confidential_author",
    "confidential_metric",
    "confidential_data", "confidential_seed",
    "confidential_attribute", "ConfidentialGearbox", "confidential text",
    "confidential_run", "confidential_other", "confidential_column", "confidential_moved",
)  # fmt: skip
NUMBERS = (0.73192837465614, 61234567890123.25, 8182736455463728, 0.25738291046573)

ARRAYS = {
    "tiny": RNG.normal(size=9),
    "small": RNG.normal(size=100),
    "middle": RNG.normal(size=20_000),
    "large": RNG.normal(size=BLOCK // 8 * 2 + 1000),
    "rank": RNG.normal(size=30_000),
}


def needles() -> dict[bytes, str]:
    """Byte runs of at least 12 bytes, each with what it is."""
    found = {word.encode(): word for word in WORDS}
    found |= {str(number).encode(): str(number) for number in NUMBERS}
    for name, array in ARRAYS.items():
        data = array.tobytes()
        for at in (0, len(data) // 2 // 8 * 8, len(data) - 24):
            found[data[at : at + 24]] = f"bytes of {name}"
        if name == "tiny":
            found = {each: what for each, what in found.items() if what != "bytes of tiny"}
            found[base64.b64encode(data)[:48]] = "bytes of tiny"
            continue
        digest = blake3(data)
        found |= {digest.digest()[:16]: f"hash of {name}", digest.hexdigest().encode(): f"hash of {name}"}
    assert all(len(each) >= 12 for each in found)
    for name in ("small", "middle", "large", "rank"):  # as the index has them: 8 bytes, which hit by chance
        number = int(blake3(ARRAYS[name].tobytes()).hexdigest()[:16], 16) - 2**63  # once in 10**12 runs
        found[number.to_bytes(8, "big", signed=True)] = f"indexed hash of {name}"
    return found


NEEDLES = needles()


def state(turn: int = 0) -> dict[str, Any]:
    return {
        "confidential_part": {
            "confidential_tensor": ARRAYS["middle"], "small": ARRAYS["small"], "tiny": ARRAYS["tiny"],
            "numbers": list(NUMBERS),
            "words": ["confidential text"] * 3,
            "confidential_column": [f"confidential text {n}" for n in range(99)],
        },
        "gear": ConfidentialGearbox(ARRAYS["large"] if turn % 2 else ARRAYS["small"] + turn),
        "turn": turn,
    }  # fmt: skip


def assert_loads(store: saver.Saver, ref: str, turn: int) -> None:
    expected, found = state(turn), store.load(ref, trust=TRUST)
    for each in (expected, found):
        each["gear"] = vars(each["gear"])
    assert_same(expected, found)


class Watched:
    """Folders and recorded writes in which nothing of the state may stand."""

    def __init__(self, *folders: Path) -> None:
        self.folders = list(folders)
        self.files: list[FaultyFiles] = []
        self.known = dict(NEEDLES)
        self.heard: list[tuple[str, bytes]] = []

    def recorded(self, folder: Path) -> LocalStorage:
        """A storage of which every byte that is ever written is looked at."""
        files = FaultyFiles()
        self.files.append(files)
        self.folders.append(folder)
        return LocalStorage(folder, files)

    def know(self, store: saver.Saver) -> None:
        """The hashes of parts are secrets, too. Those of manifests are not: each holds random bytes."""
        for model in store.models():
            for version in store.versions(model):
                hashes = [part.hash for part in version.parts.values()]
                self.known |= {digest.encode(): f"a hash of {version}" for digest in hashes}

    def found(self) -> set[str]:
        """What of it is there."""
        return {
            f"{what} in {where}"
            for where, data in self.everything()
            for needle, what in self.known.items()
            if needle in data
        }

    def everything(self) -> Iterator[tuple[str, bytes]]:
        yield from self.heard
        for folder in self.folders:
            for path in folder.rglob("*"):
                yield "a name", str(path.relative_to(folder)).encode()
                if path.is_file():
                    yield str(path), path.read_bytes()
        for files in self.files:
            for operation in files.operations:
                yield f"a {operation.name}", bytes(operation.data)
                yield "a name", operation.path.encode()


@pytest.fixture
def key(tmp_path: Path) -> str:
    path = tmp_path / "own.key"
    path.write_text(age.new_identity().reveal() + "\n")
    path.chmod(0o600)
    return str(path)


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Watched:
    for name in ("cache", "temporary"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("SAVER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setattr("tempfile.tempdir", None)
    return Watched(tmp_path / "cache", tmp_path / "temporary")


@pytest.fixture
def store(tmp_path: Path, watched: Watched, key: str) -> saver.Saver:
    return saver.Saver(watched.recorded(tmp_path / "store"), key=key, author="confidential_author")


def save(store: saver.Saver, turn: int = 0, **more: Any) -> Any:
    return store.save(
        "confidential_model", state(turn), step=turn, metrics={"confidential_metric": NUMBERS[0] + turn},
        tags=["confidential_tag"], labels={"confidential_label": "confidential_value"},
        notes="confidential note", data={"confidential_data": ARRAYS["small"]},
        seeds={"confidential_seed": 7}, **more,
    )  # fmt: skip


def test_the_needles_are_found_where_nothing_is_sealed(tmp_path: Path, watched: Watched) -> None:
    store = saver.Saver(watched.recorded(tmp_path / "store"), author="confidential_author")
    for turn in range(3):
        save(store, turn)
    store.tag("confidential_model@1", "confidential_moved")
    watched.know(store)
    found = {each.partition(" in ")[0] for each in watched.found()}
    missing = {what for what in watched.known.values() if what not in found}
    assert missing <= {
        *(f"{kind} of {name}" for kind in ("bytes", "hash", "indexed hash") for name in ("rank", "large")),
        "confidential_run", "confidential_other",
    }  # fmt: skip


def test_saves_and_changes_leave_nothing_in_clear(
    store: saver.Saver, watched: Watched, tmp_path: Path
) -> None:
    for turn in range(3):
        save(store, turn)
    save(store, 3, wait=False).result()
    store.tag("confidential_model@1", "confidential_moved")
    store.untag("confidential_model", "confidential_moved")
    store.label("confidential_model@2", {"confidential_label": "confidential_value 2"})
    store.note("confidential_model", "confidential note 2")
    for turn in range(40):
        store.tag(f"confidential_model@{turn % 2 + 1}", "confidential_moved")
    watched.know(store)
    store.delete("confidential_model@1", tags=True)
    store.prune("confidential_model", saver.Keep(last=2))
    store.gc(grace=0)
    assert store.check().sound
    assert store.backup(watched.recorded(tmp_path / "backup")).whole
    assert_loads(store, "confidential_model", 3)
    assert watched.found() == set()
    assert {path.parts[len(tmp_path.parts)] for folder in watched.folders for path in folder.rglob("*")} == {
        "cache", "store", "backup",
    }  # fmt: skip


def test_changes_of_keys_leave_nothing_in_clear(store: saver.Saver, watched: Watched) -> None:
    """Nor the names of holders, or the secret half of a key."""
    save(store, 0)
    other = age.new_identity()
    store.add_holder(other.public, "confidential_holder")
    store.rotate()
    save(store, 1)
    store.rotate(everything=True)
    store.remove_holder("confidential_holder")
    watched.know(store)
    watched.known[b"confidential_holder"] = "the name of a holder"
    watched.known[other.reveal().encode()] = "the key of a holder"
    assert_loads(store, "confidential_model@1", 0)
    assert watched.found() == set()


def test_runs_leave_nothing_in_clear(store: saver.Saver, watched: Watched) -> None:
    objects = {"confidential_part": state()["confidential_part"], "words": ["confidential text"]}
    run = store.checkpoints(
        "confidential_run", objects, every=saver.Every(steps=1), notes="confidential note"
    )
    with run:
        for step in range(run.resume(), 4):
            objects["words"].append(f"confidential text {step}")
            run.step(step, confidential_metric=NUMBERS[0] + step)
    watched.know(store)
    assert store.versions("confidential_run")
    assert watched.found() == set()


def pieces_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resumable, "PIECE", 1)


def test_pushes_leave_nothing_in_clear_even_if_they_are_interrupted(
    store: saver.Saver, watched: Watched, tmp_path: Path, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(store, 0)
    save(store, 1)
    target: Storage = watched.recorded(tmp_path / "target")
    pieces_of(monkeypatch)
    watched.know(store)
    for at in range(1, 60, 3):
        faulty = FaultyStorage(target)
        faulty.crash(at)
        try:
            store.push("confidential_model", saver.Saver(faulty, key=key), model="confidential_other")
        except Crash:
            assert watched.found() == set()
    there = saver.Saver(target, key=key)
    store.push("confidential_model", there, model="confidential_other")
    watched.know(there)
    assert_loads(there, "confidential_other", 1)
    assert watched.found() == set()


def test_an_interrupted_push_into_a_sealed_store_goes_on(
    store: saver.Saver, watched: Watched, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces_of(monkeypatch)
    store.save("confidential_model", {f"part {n}": RNG.normal(size=20_000) for n in range(5)})
    target = MemoryStorage("there")
    saver.Saver(target, key=key).save("other", [1])
    counted = FaultyStorage(target.copy())
    store.push("confidential_model", saver.Saver(counted, key=key))
    puts = [at for at, call in enumerate(counted.calls, 1) if call.startswith("put packs/")]
    faulty = FaultyStorage(target)
    faulty.crash(puts[3])
    with pytest.raises(Crash):
        store.push("confidential_model", saver.Saver(faulty, key=key))
    watched.know(store)
    assert watched.found() == set()
    counted = FaultyStorage(target)
    store.push("confidential_model", saver.Saver(counted, key=key))
    assert sum(call.startswith("put packs/") for call in counted.calls) == len(puts) - 3


class Heard(MemoryCluster):
    """Ranks of which every note, and all that they pass on, is kept."""

    heard: list[tuple[str, bytes]]

    def put(self, key: str, data: bytes) -> None:
        self.heard.append((f"the note {key}", key.encode() + data))
        super().put(key, data)

    def network(self, name: str) -> Network:
        return HeardNetwork(super().network(name), self.heard)


class HeardNetwork(Network):
    def __init__(self, network: Network, heard: list[tuple[str, bytes]]) -> None:
        self._network, self._heard = network, heard

    def send(self, rank: int, data: Any, tag: int) -> Callable[[], object]:
        self._heard.append((f"what is passed on to {rank}", data.tobytes()))
        return self._network.send(rank, data, tag)

    def receive(self, rank: int, memory: Any, tag: int) -> None:
        self._network.receive(rank, memory, tag)

    def close(self) -> None:
        self._network.close()


def ranks_in_memory(watched: Watched) -> list[Heard]:
    found = Heard.all(2)
    heard: list[tuple[str, bytes]] = []
    for each in found:
        each.heard = heard
    watched.heard = heard
    return found


@pytest.mark.parametrize("kind", ["memory", "storage", "not sealed"])
def test_ranks_leave_nothing_in_clear(kind: str, watched: Watched, tmp_path: Path, key: str) -> None:
    """Neither on their board nor on the way between them, whatever connects them, and from the first save on,
    which makes the store. What is not sealed is heard."""
    own = None if kind == "not sealed" else key
    place = watched.recorded(tmp_path / "store")
    if kind == "storage":
        notes = watched.recorded(tmp_path / "notes")
        clusters: list[Any] = [StorageCluster(notes, rank=rank, size=2) for rank in range(2)]
    else:
        clusters = ranks_in_memory(watched)
    objects = {"confidential_part": {"confidential_tensor": ARRAYS["rank"], "words": "confidential text"}}

    def act(cluster: Any) -> Any:
        store = saver.Saver(place, key=own, author="confidential_author")
        return store.save("confidential_model", objects, cluster=cluster, notes="confidential note")

    def run(cluster: Any) -> None:
        store = saver.Saver(place, key=own)
        train = store.checkpoints("confidential_run", {"a": [0]}, every=saver.Every(steps=1), cluster=cluster)
        with train:
            for step in range(train.resume(), 2):
                train.step(step)

    def restore(cluster: Any) -> None:
        mine = {"confidential_part": {"confidential_tensor": np.zeros(30_000), "words": ""}}
        how = None if kind == "storage" else "broadcast"
        saver.Saver(place, key=own).restore("confidential_model", into=mine, cluster=cluster, shared=how)
        assert_same(objects, mine)

    with ThreadPoolExecutor(2) as threads:
        one, other = threads.map(act, clusters)
        list(threads.map(run, clusters))
        list(threads.map(restore, clusters))
    for cluster in clusters:
        leave(cluster)
    assert one == other
    store = saver.Saver(place, key=own)
    watched.know(store)
    assert_same(objects, store.load("confidential_model"))
    if own is None:
        watched.folders, watched.files = [], []
        said = {each.partition(" in the note")[0] for each in watched.found()}
        passed = {each.partition(" in what is passed on")[0] for each in watched.found()}
        assert {"confidential_model", "confidential_run"} <= said
        assert "bytes of rank" in passed
        return
    assert watched.found() == set()
    hashed = blake3(b"confidential_run").hexdigest(8).encode()  # a name that somebody may guess
    assert not any(hashed in data or hashed.decode() in where for where, data in watched.everything())


def test_an_error_of_a_rank_is_passed_on_in_clear_to_nobody(
    watched: Watched, tmp_path: Path, key: str
) -> None:
    clusters = ranks_in_memory(watched)

    def act(cluster: Any) -> str:
        store = saver.Saver(tmp_path / "store", key=key)
        names = {"confidential_part": {"a": [1], "confidential_tensor": object() if cluster.rank else 1}}
        with pytest.raises(saver.SaverError) as caught:
            store.save("confidential_model", names, cluster=cluster)
        return str(caught.value)

    with ThreadPoolExecutor(2) as threads:
        said = list(threads.map(act, clusters))
    for cluster in clusters:
        leave(cluster)
    assert all("confidential_tensor" in each for each in said), said
    assert watched.heard
    assert watched.found() == set()


def test_notes_of_ranks_without_the_key_are_refused(tmp_path: Path, key: str) -> None:
    """And so are those that were changed, or put in the place of another one."""
    saver.Saver(tmp_path / "store", key=key).save("iris", [1])
    secret = secret_of(saver.Saver(tmp_path / "store", key=key)._repo)
    assert secret is not None
    board = MemoryCluster.all(2)
    one, other = (SealedCorner(each, secret) for each in board)
    one.put("hello/0", b"a note")
    one.put("hello/1", b"another")
    assert other.get("hello/0") == b"a note"
    first, second = board[0]._board
    notes = dict(board[0]._board)
    for wrong in (notes[second], b"a note", notes[first][:-1], notes[first] + b"\0", b""):
        board[0]._board[first] = wrong
        with pytest.raises(DamagedError):
            other.get("hello/0")
    strange = SealedCorner(board[1], bytes(32))
    assert strange.get("hello/1") is None
    strange.put("hello/1", b"a note of somebody")
    assert one.get("hello/1") == b"another"
    other.delete("hello/1")
    assert one.get("hello/1") is None
    with pytest.raises(KeyNeededError):
        secret_of(saver.Saver(tmp_path / "store")._repo)


def test_what_ranks_pass_on_is_bound_to_sender_tag_and_network() -> None:
    data = ARRAYS["small"].view(np.uint8)
    ends = [SealedCorner(each, b"s" * 32)._sealed_network for each in MemoryCluster.all(3)]
    nets = [make("n") for make in ends]
    into = np.empty_like(data)
    nets[0].send(1, data, 7)
    nets[1].receive(0, into, 7)
    assert into.tobytes() == data.tobytes()
    lines = nets[0]._network._sent
    for sender, tag, name in ((0, 8, "n"), (2, 7, "n"), (0, 7, "other")):
        nets[0].send(1, data, 7)
        lines[name, sender, 1, tag] = lines.pop(("n", 0, 1, 7))
        receiver = nets[1] if name == "n" else ends[1](name)
        into[:] = 0
        with pytest.raises(DamagedError, match=f"what rank {sender} passed on"):
            receiver.receive(sender, into, tag)
        assert not into.any()


def test_ranks_that_restore_from_a_sealed_store_that_is_not_there_say_nothing(
    tmp_path: Path, key: str
) -> None:
    cluster = MemoryCluster.all(1)[0]
    with pytest.raises(NotFoundError):
        saver.Saver(tmp_path / "store", key=key).restore("iris", into={"a": [1]}, cluster=cluster)
    assert not cluster._board


class Far(WrappedStorage):
    """A storage that is far away: what is fetched from it is kept on this machine."""

    def call(self, name: str, act: Callable[[], Any]) -> Any:
        return act()

    def open(self, key: str) -> Blob:
        found = FarBlob(key, super().open(key).read())
        found.fetchers = 4
        return found


class FarBlob(MemoryBlob):
    def near(self, start: int, end: int) -> bool:
        return False


def test_what_is_kept_of_a_bucket_is_sealed(
    store: saver.Saver, watched: Watched, tmp_path: Path, key: str
) -> None:
    save(store, 1)
    far = saver.Saver(Far(LocalStorage(tmp_path / "store")), key=key)
    for _ in range(2):
        assert_loads(far, "confidential_model", 1)
        far.load("confidential_model", parts=["turn"])
    watched.know(far)
    assert list((tmp_path / "cache" / "packs").iterdir())
    assert watched.found() == set()


def test_what_is_kept_of_a_bucket_may_be_wrong(
    store: saver.Saver, watched: Watched, tmp_path: Path, key: str
) -> None:
    """Then it is read again."""
    save(store, 1)
    storage = Far(LocalStorage(tmp_path / "store"))
    assert_loads(saver.Saver(storage, key=key), "confidential_model", 1)
    for path in (tmp_path / "cache" / "packs").iterdir():
        raw = bytearray(path.read_bytes())
        start = len(raw) - len(raw) // 2
        raw[start:] = bytes(byte ^ 1 for byte in raw[start:])
        path.write_bytes(raw)
    assert_loads(saver.Saver(storage, key=key), "confidential_model", 1)


def test_a_sealed_file_tells_nothing(watched: Watched, tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    watched.folders.append(tmp_path / "files")
    public = age.new_identity().public
    for turn in range(2):
        saver.dump(state(turn), tmp_path / "files" / f"{turn}.saver", to=[public])
    assert watched.found() == set()
    data = saver.dumps(state(1), to=public)
    assert not any(each in data for each in NEEDLES)
