"""Buckets on real servers: all that a storage promises, and a store in one."""

from __future__ import annotations

import json
import os
import random
import secrets
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import servers

import proxy
import saver
from saver.addresses import open_storage
from saver.errors import CannotReadError, CannotWriteError
from saver.storage import Storage
from saver.storages.object.failures import CODES, STATUSES
from saver.testing import StorageTests

pytest.importorskip("obstore")

pytestmark = [
    pytest.mark.xdist_group("buckets"),
    pytest.mark.skipif(os.name == "nt", reason="the servers run on POSIX systems"),
]


EACH = [pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in servers.SERVERS]


@pytest.fixture(scope="module", params=EACH)
def bucket(request: Any, tmp_path_factory: Any) -> Iterator[str]:
    """The address of a bucket on a server that runs as long as this module's tests."""
    before = {name: os.environ.get(name) for name in servers.ENVIRONMENT}
    os.environ.update(servers.ENVIRONMENT)
    try:
        with servers.SERVERS[request.param](tmp_path_factory.mktemp(request.param)) as endpoint:
            yield servers.make_bucket(request.param, endpoint, "bucket")
    except servers.Missing as error:
        pytest.skip(str(error))
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


@pytest.fixture
def address(bucket: str) -> str:
    """A new folder in the bucket."""
    return folder_in(bucket)


def folder_in(bucket: str) -> str:
    place, _, options = bucket.partition("?")
    return f"{place}/{secrets.token_hex(4)}?{options}"


class TestBucket(StorageTests):
    @pytest.fixture
    def storage(self, address: str) -> Storage:
        return open_storage(address)


def test_what_plain_requests_take_is_measured_beside_saver(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchmarks import buckets

    monkeypatch.setenv(buckets.VARIABLE, address)
    monkeypatch.setattr(buckets, "SHAPE", (512, 600))
    tables = buckets.run(1, 8)
    assert [table.name for table in tables] == ["bucket-save", "bucket-load"]
    assert all(len(row.seconds) == 1 for table in tables for row in table.rows)


def test_the_probe_finds_that_it_keeps_its_promises(address: str) -> None:
    storage = open_storage(address)
    storage.probe()
    assert list(storage.keys("")) == []


def test_a_large_object_comes_in_parts_and_back_in_pieces(address: str) -> None:
    storage = open_storage(address)
    data = np.random.default_rng(0).bytes((20 << 20) + 12_345)

    class Large(saver.storage.Content):
        size = len(data)

        def pieces(self) -> Iterator[memoryview]:
            buffer = bytearray(1 << 20)  # reused, as the contract allows
            for at in range(0, len(data), len(buffer)):
                piece = data[at : at + len(buffer)]
                buffer[: len(piece)] = piece
                yield memoryview(buffer)[: len(piece)]
                buffer[: len(piece)] = bytes(len(piece))

    storage.put("packs/a", Large())
    blob = storage.open("packs/a")
    assert blob.read() == data
    blob.fetch_many([(0, 5 << 20), (9 << 20, 20 << 20)], memoryview(bytearray(11 << 20)))
    assert blob.map()[: 5 << 20].tobytes() == data[: 5 << 20]
    assert blob.map()[9 << 20 : 20 << 20].tobytes() == data[9 << 20 : 20 << 20]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_large_object_that_fails_in_the_middle_is_not_there(
    address: str, error: type[BaseException]
) -> None:
    class Broken(saver.storage.Content):
        size = 40 << 20

        def pieces(self) -> Iterator[bytes]:
            for _ in range(30):
                yield bytes(1 << 20)
            raise error

    storage = open_storage(address)
    with pytest.raises(error):
        storage.put("packs/a", Broken())
    assert list(storage.keys("")) == []


def test_a_store_in_a_bucket_is_a_store(address: str, tmp_path: Path) -> None:
    store = saver.Saver(address)
    model = {"weights": np.arange(3_000_000.0), "name": "a model", "small": np.arange(10)}
    first = store.save("m", model, metrics={"loss": 1.0})
    second = store.save("m", model | {"small": np.arange(11)})
    store.tag("m@1", "good")
    again = saver.Saver(address)
    for ref, size in (("m@good", 10), ("m", 11)):
        found = again.load(ref)
        assert np.array_equal(found["weights"], model["weights"])
        assert found["small"].shape == (size,)
    assert again.load("m", lazy=True)["small"][3] == 3
    assert [version.number for version in again.versions("m")] == [1, 2]
    assert (first.number, second.number) == (1, 2)
    assert again.check().sound
    again.delete("m@2")
    again.gc(grace=0)
    assert again.check().sound
    assert np.array_equal(saver.Saver(address).load("m@1")["weights"], model["weights"])
    assert again.backup(tmp_path / "copy")
    assert saver.Saver(tmp_path / "copy").load("m@good")["name"] == "a model"


def test_a_store_is_copied_into_a_bucket(address: str, tmp_path: Path) -> None:
    store = saver.Saver(tmp_path / "here")
    store.save("m", {"a": np.arange(10)})
    store.backup(address)
    assert saver.Saver(address).load("m")["a"][9] == 9


SAVES = """
import sys, saver
store = saver.Saver(sys.argv[1])
for step in range(5):
    store.save("m", {"writer": sys.argv[2], "step": step})
"""


@pytest.mark.slow
def test_several_processes_save_the_same_model(address: str) -> None:
    """Five versions each, all of which are there, each under a number of its own."""
    command = [sys.executable, "-c", SAVES, address]
    writers = [subprocess.Popen([*command, str(number)]) for number in range(4)]
    try:
        assert [each.wait(240) for each in writers] == [0] * 4
    finally:
        for each in writers:
            each.kill()
            each.wait()
    store = saver.Saver(address)
    found = [(version.number, store.load(version)) for version in store.versions("m")]
    assert [number for number, _ in found] == [*range(1, 21)]
    for writer in "0123":
        assert [each["step"] for _, each in found if each["writer"] == writer] == [*range(5)]
    assert store.check().sound


class Racer(threading.Thread):
    """Saves, loads, tags, deletes and collects in an order that is drawn from a seed. `saved` is what was
    acknowledged, by number; `deleted` are the numbers that were deleted again."""

    def __init__(self, address: str, name: str, seed: str, steps: int) -> None:
        super().__init__(name=name)
        self.saved: dict[int, dict[str, Any]] = {}
        self.deleted: set[int] = set()
        self.failed: BaseException | None = None
        self._address, self._drawing, self._steps = address, random.Random(seed), steps

    def run(self) -> None:
        try:
            store = saver.Saver(self._address)
            for step in range(self._steps):
                self._act(store, step)
        except BaseException as error:
            self.failed = error

    def _act(self, store: saver.Saver, step: int) -> None:
        """Its own versions are touched by nobody else."""
        mine = sorted(self.saved.keys() - self.deleted)
        what = self._drawing.choice(["save", "save", "save", "load", "tag", "delete", "gc"])
        if what == "save" or not mine:
            state = {"by": self.name, "step": step, "w": np.full(3000, step), "same": np.arange(3000)}
            self.saved[store.save("m", state).number] = state
            return
        number = self._drawing.choice(mine)
        if what == "load":
            assert same(store.load(f"m@{number}"), self.saved[number])
        elif what == "tag":
            store.tag(f"m@{number}", self.name)
            assert store.version(f"m@{self.name}").number == number
        elif what == "delete":
            store.delete(f"m@{number}", tags=True)
            self.deleted.add(number)
        else:
            store.gc(grace=0)


def same(found: dict[str, Any], wanted: dict[str, Any]) -> bool:
    return found.keys() == wanted.keys() and all(np.array_equal(found[name], wanted[name]) for name in wanted)


def race(address: str, seed: int, racers: int, steps: int) -> None:
    """Let racers run at the same time, then compare what is there with what was acknowledged."""
    saver.Saver(address).save("m", {"first": True})
    threads = [Racer(address, f"racer-{number}", f"{seed} {number}", steps) for number in range(racers)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(300)
    assert [each.failed for each in threads if each.failed is not None] == []
    saved = [number for each in threads for number in each.saved]
    assert len(saved) == len({*saved, 1}) - 1, "a number was given out twice"
    store = saver.Saver(address)
    live = {
        number: state
        for each in threads
        for number, state in each.saved.items()
        if number not in each.deleted
    }
    for _ in range(2):
        assert {version.number for version in store.versions("m")} == {1, *live}
        for number, state in live.items():
            assert same(store.load(f"m@{number}"), state)
        assert store.check().sound
        store.gc(grace=0, everything=True)


@pytest.mark.slow
def test_whatever_racers_do_what_was_acknowledged_is_there(address: str) -> None:
    race(address, 0, racers=3, steps=6)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100, 104))
def test_whatever_more_racers_do_what_was_acknowledged_is_there(address: str, seed: int) -> None:
    race(address, seed, racers=6, steps=15)


KILLED = """
import sys, saver, numpy as np
store = saver.Saver(sys.argv[1])
for step in range(1000):
    print(store.save("m", {"step": step, "w": np.full(30_000, step)}).number, flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.05, 0.3, 0.55])
def test_what_a_killed_process_acknowledged_is_there(address: str, seconds: float) -> None:
    command = [sys.executable, "-c", KILLED, address]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    first = process.stdout.readline()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
    acknowledged = [int(line) for line in (first, *process.communicate()[0].split())]
    store = saver.Saver(address)
    for number in acknowledged:
        assert store.load(f"m@{number}")["w"][0] == number - 1
    store.save("m", {"step": -1})
    assert store.check().sound
    store.gc(grace=0, everything=True)
    assert store.load(f"m@{acknowledged[-1]}")["step"] == acknowledged[-1] - 1


def test_doctor_tries_each_operation(address: str) -> None:
    command = [sys.executable, "-m", "saver", "doctor", "--json", "--store", address]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout
    found = {each["topic"]: each for each in json.loads(done.stdout)["findings"]}
    assert found["bucket"]["severity"] == "ok"
    assert found["answers"]["here"].endswith(" ms")
    assert list(open_storage(address).keys("")) == []


def test_doctor_waits_once_for_a_server_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in servers.ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    address = f"s3://bucket/x?endpoint=http://127.0.0.1:{servers.free_port()}&deadline=0.5"
    command = [sys.executable, "-m", "saver", "doctor", "--json", "--store", address]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    findings = json.loads(done.stdout)["findings"]
    assert [each["topic"] for each in findings if "did not answer" in each["meaning"]] == ["bucket"]


def test_the_second_load_fetches_nothing_of_a_large_pack(bucket: str) -> None:
    """By another process, too: what each of them fetched is there for all."""
    direct, endpoint = folder_in(bucket), bucket.partition("?endpoint=")[2]
    weights = np.arange(1_000_000.0)
    saver.Saver(direct).save("m", {"w": weights})
    with proxy.between(endpoint) as (between, through):
        address = f"{direct.partition('?')[0]}?endpoint={through}"
        code = "import sys, saver; assert saver.Saver(sys.argv[1]).load('m')['w'][-1] == 999_999"
        readers = [subprocess.Popen([sys.executable, "-c", code, address]) for _ in range(3)]
        assert [each.wait(120) for each in readers] == [0] * 3
        between.spoil(-1, "")
        assert np.array_equal(saver.Saver(address).load("m")["w"], weights)
        assert sum("packs" in line for line in between.seen) == 1  # its first bytes


FORKED = """
import os, sys, saver
store = saver.Saver(sys.argv[1])
store.save("m", {"a": 1})
if os.fork() == 0:
    try:
        store.load("m")
    except saver.CannotReadError as error:
        os._exit(7 if "spawn" in str(error) else 8)
    os._exit(9)
assert store.load("m") == {"a": 1}
print(os.waitstatus_to_exitcode(os.wait()[1]))
"""


def test_a_forked_child_says_that_it_must_be_spawned(address: str) -> None:
    done = subprocess.run([sys.executable, "-c", FORKED, address], capture_output=True, text=True, timeout=60)
    assert done.stdout == "7\n", done.stderr


def test_what_a_bucket_that_does_not_exist_says(bucket: str) -> None:
    address = bucket.replace("://bucket", "://nowhere")
    with pytest.raises(CannotReadError, match="there is no such bucket"):
        saver.Saver(address).load("m")
    with pytest.raises((CannotReadError, CannotWriteError), match="there is no such bucket"):
        saver.Saver(address).save("m", {"a": 1})


@pytest.mark.parametrize("server", servers.REFUSED)
def test_a_server_that_lets_all_racers_win_is_refused(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in servers.ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    if server == "s3rver":  # has one user
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "S3RVER")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "S3RVER")
    try:
        with servers.REFUSED[server](tmp_path) as endpoint:
            address = servers.make_bucket(server, endpoint, "bucket")
            with pytest.raises(CannotWriteError, match=r"created the same object at once|a second time"):
                saver.Saver(address).save("m", {"a": 1})
            assert open_storage(address).stat("store.json") is None
    except servers.Missing as error:
        pytest.skip(str(error))


# Faults of the network and of the server


@pytest.mark.slow
@pytest.mark.parametrize("kind", proxy.KINDS)
def test_one_request_that_goes_wrong_costs_nothing(
    bucket: str, kind: str, request: pytest.FixtureRequest
) -> None:
    """Some requests, others for each kind, and for each server."""
    server = list(servers.SERVERS).index(request.node.callspec.params["bucket"])
    first = proxy.KINDS.index(kind) + len(proxy.KINDS) * (server % 4)
    assert _spoiled(bucket, kind, range(first, 1000, 4 * len(proxy.KINDS))) > 10


@pytest.mark.long
@pytest.mark.parametrize("kind", proxy.KINDS)
def test_every_request_that_goes_wrong_costs_nothing(bucket: str, kind: str) -> None:
    """Each request of saving, loading, listing, deleting and collecting, one after another."""
    assert _spoiled(bucket, kind, range(1000)) > 30


def _spoiled(bucket: str, kind: str, times: range) -> int:
    """Spoil the request of each of these numbers, as long as there are so many; how many there were."""
    endpoint = bucket.partition("?endpoint=")[2]
    wrong: list[str] = []
    most = 1 + times[0]  # that many are there, or the first finds that they are not
    with proxy.between(endpoint) as (between, through):
        for at in times:
            if at >= most:
                break
            direct = folder_in(bucket)
            spoiled = f"{direct.partition('?')[0]}?endpoint={through}&deadline=20"
            between.spoil(at, kind)
            failure = _tried(spoiled, direct)
            most = max(most, len(between.seen))
            if failure:
                wrong.append(f"{between.seen[at:][:1]}: {failure}")
    assert wrong == []
    return len(between.seen)


def _tried(spoiled: str, direct: str) -> str:
    """What broke a promise while one request was spoiled; "" if nothing did."""
    saver.Saver(direct).save("m", {"number": 1})
    try:
        store = saver.Saver(spoiled)
        store.save("m", {"number": 2, "w": np.arange(2)})
        store.delete("m@1")
        loaded = store.load("m@2")["number"]
    except saver.SaverError as error:
        return f"{type(error).__name__}: {error}"
    again = saver.Saver(direct)
    if loaded != 2 or again.load("m@2")["number"] != 2:
        return "the version is another one"
    if [version.number for version in again.versions("m")] != [2]:
        return f"versions {again.versions('m')}"
    return "" if again.check().sound else str(again.check())


@pytest.mark.parametrize(
    ("one", "other", "inside"),
    [
        ("s3://bucket/a/b", "s3://bucket/a", True),
        ("s3://bucket/a", "s3://bucket", True),
        ("s3://bucket/ab", "s3://bucket/a", False),
        ("s3://bucket/a", "s3://bucket/a", False),
        ("s3://bucket/a?endpoint=https://one", "s3://bucket?endpoint=https://two", False),
        ("s3://bucket/a", "gs://bucket", False),
    ],
)
def test_a_folder_within_another_is_known(one: str, other: str, inside: bool) -> None:
    assert open_storage(one).is_inside(open_storage(other)) is inside


def test_a_server_that_is_not_there_is_named_in_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in servers.ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    address = f"s3://bucket/x?endpoint=http://127.0.0.1:{servers.free_port()}&deadline=0.5"
    with pytest.raises(CannotReadError, match=r"did not answer in 0\.5 s.*deadline="):
        saver.Saver(address).load("m")
    with pytest.raises((CannotReadError, CannotWriteError), match=r"did not answer in 0\.5 s"):
        saver.Saver(address).save("m", {"a": 1})


def test_a_large_version_is_fetched_by_many_requests_at_the_same_time(bucket: str) -> None:
    """However few processors there are: what each of them waits for is the network."""
    direct, endpoint = folder_in(bucket), bucket.partition("?endpoint=")[2]
    weights = np.arange(4_000_000.0)
    saver.Saver(direct).save("m", {"w": weights})
    with proxy.between(endpoint) as (between, through):
        store = saver.Saver(f"{direct.partition('?')[0]}?endpoint={through}")
        between.spoil(-1, "late")
        assert np.array_equal(store.load("m")["w"], weights)
        assert between.most >= 8
        between.spoil(-1, "")
        store.load("m", lazy=True)
        assert sum("packs" in line for line in between.seen) == 1  # its header


def test_an_answer_that_never_comes_leaves_it_unknown(monkeypatch: pytest.MonkeyPatch, bucket: str) -> None:
    """Whether the record was written that would make the version: the message says so."""
    endpoint = bucket.partition("?endpoint=")[2]
    direct = folder_in(bucket)
    saver.Saver(direct).save("m", {"a": 1})
    with proxy.between(endpoint) as (between, through):
        store = saver.Saver(f"{direct.partition('?')[0]}?endpoint={through}&deadline=4")
        assert store.load("m") == {"a": 1}
        between.spoil(-1, "lost")
        with pytest.raises(saver.SaverError, match="did not answer"):
            store.save("m", {"a": 2})
        between.spoil(-2, "")
        numbers = [version.number for version in store.versions("m")]
        assert numbers in ([1], [1, 2])
        assert store.save("m", {"a": 3}).number == len(numbers) + 1


@pytest.mark.parametrize("code", sorted(CODES))
def test_each_error_of_a_service_has_a_sentence(code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in servers.ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    fact, step = CODES[code]
    busy = STATUSES["503"] == CODES[code]
    with proxy.between("http://127.0.0.1:1") as (between, through):
        between.answer = 503 if busy else 404 if "bucket" in fact else 403, code
        store = saver.Saver(f"s3://bucket/x?endpoint={through}&deadline={2 if busy else 20}")
        for ask in (lambda: store.load("m"), lambda: store.save("m", {"a": 1}), lambda: list(store.models())):
            with pytest.raises(saver.SaverError) as caught:
                ask()
            assert isinstance(caught.value, CannotReadError | CannotWriteError)
            assert f"{fact} ({code}); {step}" in str(caught.value)


@pytest.mark.parametrize(
    "address",
    [
        "s3://", "s3:///folder", "s3://key:secret@bucket/x", "s3://bucket:80/x", "s3://bucket/x#y",
        "s3://bucket/x?secret=abc", "gs://bucket?deadline=-1", "s3://bucket?deadline=nan", "az://c?deadline=x",
        "s3://bucket?endpoint",
    ],
)  # fmt: skip
def test_what_is_not_an_address_is_refused_and_secrets_are_not_repeated(address: str) -> None:
    with pytest.raises(ValueError, match="store: ") as caught:
        saver.Saver(address)
    assert "secret@" not in str(caught.value)
    assert "abc" not in str(caught.value)
