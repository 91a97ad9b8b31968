"""A registry takes versions and gives them back: whole, verified, and only what is new is sent."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import saver
from pushed import kept
from registries import WEIGHTS, Fake, debian, digest
from saver.hub import hub_at
from saver.storages.memory import MemoryStorage
from saver.testing import StorageTests

pytest.importorskip("oras", reason="needs oras")

from saver.hubs import _artifact, _registry
from saver.hubs._scratch import scratch
from saver.hubs._snapshot import Snapshot


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_registry, "PAUSES", ())


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if shutil.which("docker-registry") is None:
        pytest.skip("needs docker-registry")
    with debian(tmp_path_factory.mktemp("registry")) as host:
        yield host


def empty() -> saver.Saver:
    return saver.Saver(MemoryStorage("there"))


@pytest.mark.slow
def test_what_was_pushed_to_a_registry_is_pulled_the_same(here: saver.Saver, real: str) -> None:
    place, there = f"oci://{real}/team/same:v1", empty()
    found = here.push("team/m", place)
    assert ([each.number for each in found.versions], found.present) == ([1, 3, 4], 0)
    there.pull("team/m@production", place)
    assert [each.number for each in there.versions("team/m")] == [1, 3]
    there.pull("team/m", place)
    assert kept(there) == kept(here)
    assert there.models() == ["team/m"]
    assert there.check().sound
    assert np.array_equal(there.load("team/m")["w"], WEIGHTS)
    again = here.push("team/m", place)
    assert (again.versions, again.present, again.bytes) == ((), 3, 0)


@pytest.mark.slow
def test_large_packs_are_sent_in_pieces(
    here: saver.Saver, real: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_registry, "CHUNKED", 1 << 20)
    here.push("team/m", f"oci://{real}/team/pieces")
    there = empty()
    there.pull("team/m", f"oci://{real}/team/pieces:latest")
    assert kept(there) == kept(here)


@pytest.mark.slow
def test_what_oras_pulls_is_a_store(here: saver.Saver, real: str, tmp_path: Path) -> None:
    """Any tool that speaks to registries gets a folder that Saver opens."""
    from oras.client import OrasClient

    here.push("team/m", f"oci://{real}/team/folder:v1")
    client = OrasClient(hostname=real, insecure=True)
    client.pull(f"{real}/team/folder:v1", outdir=str(tmp_path / "models"))
    assert kept(saver.Saver(tmp_path / "models")) == kept(here)


def blobs_of(server: Fake, tag: str) -> set[str]:
    return {layer["digest"] for layer in server.manifest(tag)["layers"]}


@pytest.mark.parametrize("second", ["v1", "v2"])
def test_the_next_version_sends_only_what_is_new(here: saver.Saver, registry: Fake, second: str) -> None:
    """Also under another tag, which begins with what an earlier one has."""
    here.push("team/m@3", f"oci://{registry.host}/m:v1")
    first = set(registry.uploaded())
    assert first == {*blobs_of(registry, "v1"), digest(b"{}")}
    registry.calls.clear()
    here.push("team/m@4", f"oci://{registry.host}/m:{second}")
    new = registry.uploaded()
    assert len(new) == len({*new}) == 2, "its file, and its record"
    assert not first & {*new}
    assert sum(len(registry.blobs[each]) for each in new) < 10_000
    assert blobs_of(registry, second) == first - {digest(b"{}")} | {*new}


def test_another_tag_begins_with_nothing_that_was_not_to_be_pushed(here: saver.Saver, registry: Fake) -> None:
    """Not with later versions, other models, other versions of the same numbers."""
    here.push("team/m", f"oci://{registry.host}/m:all")
    here.push("secret", f"oci://{registry.host}/m:secret", model="team/m")
    here.push("team/m@1", f"oci://{registry.host}/m:first")
    there = empty()
    there.pull("team/m", f"oci://{registry.host}/m:first")
    assert kept(there) == kept(here)[:1]
    here.push("team/m@4", f"oci://{registry.host}/m:alone", history=False)
    alone = empty()
    alone.pull("team/m", f"oci://{registry.host}/m:alone")
    assert kept(alone) == kept(here)[2:]
    assert b"secret" not in b"".join(registry.blobs[each] for each in blobs_of(registry, "all"))


def test_a_registry_that_lies_about_its_tags_gets_a_push_all_the_same(
    here: saver.Saver, registry: Fake
) -> None:
    """The store that a tag seems to offer is another one, or none."""
    here.push("secret", f"oci://{registry.host}/m:other")
    lie = registry.manifest("other")
    lie["annotations"] = {_artifact.MODEL: "team/m", _artifact.NEWEST: "3"}
    registry.put("other", lie)
    registry.put("broken", b"{")
    empty_store = registry.manifest("other")
    empty_store["layers"] = [each for each in empty_store["layers"] if "log/" not in str(each)]
    empty_store["annotations"][_artifact.NEWEST] = "4"
    registry.put("lost", empty_store)
    here.push("team/m", f"oci://{registry.host}/m:v1")
    there = empty()
    there.pull("team/m", f"oci://{registry.host}/m:v1")
    assert kept(there) == kept(here)
    assert len(blobs_of(registry, "v1") & blobs_of(registry, "other")) == 0


def test_other_versions_of_the_same_numbers_are_refused_and_nothing_is_sent(
    here: saver.Saver, registry: Fake
) -> None:
    here.push("team/m@1", f"oci://{registry.host}/m:v1")
    other = saver.Saver(MemoryStorage())
    other.save("team/m", {"w": 1})
    before = dict(registry.tags), len(registry.uploaded())
    with pytest.raises(saver.CannotWriteError, match=r"team/m@1 is not team/m@1 of .*--as NAME"):
        other.push("team/m", f"oci://{registry.host}/m:v1")
    assert (dict(registry.tags), len(registry.uploaded())) == before
    other.push("team/m", f"oci://{registry.host}/m:v1", model="theirs")
    there = empty()
    there.pull("team/m", f"oci://{registry.host}/m:v1")
    assert kept(there) == kept(here)[:1]


def test_tags_and_another_name_arrive(here: saver.Saver, registry: Fake) -> None:
    here.push("team/m@1", f"oci://{registry.host}/m", model="public", tags=False)
    there = empty()
    found = there.pull("public", f"oci://{registry.host}/m", model="mine")
    assert (found.model, there.version("mine").tags) == ("mine", ())
    assert here.push("team/m@1", f"oci://{registry.host}/m", model="public").tags == {"t1": 1}
    assert there.pull("public", f"oci://{registry.host}/m", model="mine").tags == {"t1": 1}


def test_a_digest_names_the_same_for_ever(here: saver.Saver, registry: Fake) -> None:
    here.push("team/m@1", f"oci://{registry.host}/m:v1")
    place = f"oci://{registry.host}/m@{registry.tags['v1']}"
    here.push("team/m", f"oci://{registry.host}/m:v1")
    there = empty()
    there.pull("team/m", place)
    assert kept(there) == kept(here)[:1]
    with pytest.raises(saver.CannotWriteError, match="push to a tag"):
        here.push("team/m", place)


def test_whatever_request_fails_the_tag_names_what_it_named_and_the_next_push_goes_on(
    here: saver.Saver, registry: Fake, own_cache: Path
) -> None:
    place = f"oci://{registry.host}/m:v1"
    here.push("team/m@1", place)
    before = dict(registry.tags), dict(registry.manifests)
    registry.calls.clear()
    here.push("team/m", place)
    total, after = len(registry.calls), registry.tags["v1"]
    assert total > 10
    for at in range(1, total + 1):
        registry.tags, registry.manifests = dict(before[0]), dict(before[1])
        registry.calls.clear()
        registry.down_from = at
        with pytest.raises(saver.SaverError) as error:
            here.push("team/m", place)
        assert str(error.value).startswith(place)
        assert registry.tags == before[0] or at == total
        registry.down_from = None
        sent = {each for each in registry.uploaded() if each in registry.blobs}
        registry.calls.clear()
        found = here.push("team/m", place)
        assert [each.number for each in found.versions] == [3, 4]
        assert not sent & {*registry.uploaded()}, "what arrived is not sent again"
        there = empty()
        there.pull("team/m", place)
        assert kept(there) == kept(here)
    assert registry.tags["v1"] != after, "each push made other packs, as nothing was left of the last one"
    assert not list(own_cache.glob("hubs/*/objects"))


def test_whatever_request_fails_a_pull_changes_nothing_or_all_and_the_next_one_goes_on(
    here: saver.Saver, registry: Fake
) -> None:
    place = f"oci://{registry.host}/m:v1"
    here.push("team/m", place)
    registry.calls.clear()
    empty().pull("team/m", place)
    total = len(registry.calls)
    assert total > 7
    for at in range(1, total + 1):
        registry.calls.clear()
        registry.down_from, there = at, empty()
        with pytest.raises(saver.CannotReadError):
            there.pull("team/m", place)
        if there.exists() and there.models():
            assert kept(there) == kept(here)[: len(there.versions("team/m"))]
        registry.down_from, fetched = None, at - 1
        registry.calls.clear()
        there.pull("team/m", place)
        assert kept(there) == kept(here)
        assert len(registry.calls) <= total - fetched + 1, "what came is not fetched again"


def test_somebody_else_who_pushes_meanwhile_is_not_overtaken(here: saver.Saver, registry: Fake) -> None:
    place = f"oci://{registry.host}/m:v1"
    here.push("team/m@1", place)
    theirs = {"schemaVersion": 2, "layers": []}

    def meanwhile(handler: Any) -> bool:
        if handler.command == "POST":
            registry.put("v1", theirs)
        return False

    registry.instead = meanwhile
    with pytest.raises(saver.CannotWriteError, match=r"somebody else pushed there meanwhile.*push again"):
        here.push("team/m", place)
    assert registry.manifest("v1") == theirs


def test_progress_goes_up_to_all(here: saver.Saver, registry: Fake) -> None:
    calls: list[tuple[int, int]] = []
    here.push("team/m", f"oci://{registry.host}/m", progress=lambda *each: calls.append(each))
    shares = [done / total for done, total in calls if total]
    assert shares == sorted(shares)
    assert shares[-1] == 1


def test_two_pushes_of_the_same_do_not_share_a_folder(
    here: saver.Saver, registry: Fake, tmp_path: Path
) -> None:

    def left(state: str) -> None:
        with suppress(KeyError), scratch("x", state) as folder:
            Path(folder).mkdir(parents=True)
            raise KeyError

    with scratch("x", "1") as one, scratch("x", "1") as other:
        assert one != other
        Path(one).mkdir(parents=True)
        (Path(one) / "a").write_text("left")
    assert not Path(one).exists()
    left("1")
    with scratch("x", "1") as again:
        assert (again, Path(again).exists()) == (one, True)
    left("1")
    left("")
    assert not Path(one).exists(), "without a state, nothing stays"
    with scratch("x", "2") as anew:
        assert (anew, Path(anew).exists()) == (one, False)


def test_a_cache_that_cannot_be_used_costs_what_an_interruption_would_have_saved(
    here: saver.Saver, registry: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SAVER_CACHE", str(tmp_path / "file"))
    here.push("team/m", f"oci://{registry.host}/m")
    there = empty()
    there.pull("team/m", f"oci://{registry.host}/m")
    assert kept(there) == kept(here)


def test_signatures_go_along(registry: Fake) -> None:
    pytest.importorskip("cryptography", reason="needs cryptography")
    from signed import private, public

    here = saver.Saver(MemoryStorage())
    here.save("m", {"w": np.arange(9000.0)}, sign=private("alice"))
    here.push("m", f"oci://{registry.host}/m")
    there = empty()
    there.pull("m", f"oci://{registry.host}/m")
    assert there.version("m").signatures == here.version("m").signatures != ()
    assert there.load("m", signed_by=[public("alice")])["w"][3] == 3


def test_a_sealed_store_is_pushed_in_clear_with_a_warning_and_pulled_into_another(
    registry: Fake, tmp_path: Path
) -> None:
    pytest.importorskip("pyrage", reason="needs pyrage")
    from saver.keys.files import new_key_file

    new_key_file(str(tmp_path / "a.key"))
    here = saver.Saver(tmp_path / "here", key=str(tmp_path / "a.key"))
    here.save("m", {"w": WEIGHTS})
    with pytest.warns(UserWarning, match=r"is sealed, and what is pushed to oci://.* is not"):
        here.push("m", f"oci://{registry.host}/m")
    there = saver.Saver(tmp_path / "there", key=str(tmp_path / "a.key"))
    there.pull("m", f"oci://{registry.host}/m")
    assert np.array_equal(there.load("m")["w"], WEIGHTS)
    assert WEIGHTS[:100].tobytes() not in b"".join(
        path.read_bytes() for path in (tmp_path / "there").rglob("*") if path.is_file()
    )


@pytest.mark.parametrize(
    "address",
    [
        "oci://", "oci:///m", "oci://host", "oci://host/", "oci://host/UPPER", "oci://host/m:",
        "oci://host/m:a b", "oci://host/../m", "oci://host/m@sha256:12", "oci://host/m@md5:1", "oci://user:secret@host/m",
        "oci://host/m?x=1", "oci://host/m?insecure=perhaps", "oci://host:port/m", "oci://ho st/m",
        "oci://host/m:v1@sha256:" + "0" * 64, "oci://host/m#x", "oci://host/" + "a" * 2000,
        "oci://host\\@evil/m", "oci://host/m%2f..", "oci://host/m\n", "oci://-host/m",
    ],
)  # fmt: skip
def test_a_wrong_address_is_said(address: str, here: saver.Saver) -> None:
    with pytest.raises(ValueError, match=r"target: .*is not the address of a registry; write oci://") as it:
        here.push("team/m", address)
    assert "secret" not in str(it.value)


def test_http_is_for_this_machine_or_where_the_address_says_so() -> None:
    def prefix(address: str) -> str:
        hub: Any = hub_at(address)
        return str(hub._remote._client.prefix)

    assert (
        prefix("oci://localhost:5000/m") == prefix("oci://127.0.0.1/m") == prefix("oci://[::1]:5/m") == "http"
    )
    assert prefix("oci://localhost/m?insecure=false") == "https"
    assert prefix("oci://registry.example/m") == prefix("oci://localhost.example/m") == "https"
    assert prefix("oci://127.0.0.1.example/m") == "https"
    assert prefix("oci://registry.example:80/m?insecure=true") == "http"


def test_a_missing_package_is_named(here: saver.Saver, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "oras.container", None)
    monkeypatch.delitem(sys.modules, "saver.hubs._registry")
    with pytest.raises(saver.IncompatibleError, match=r"needs the package oras.*saver-ml\[hub\]"):
        here.push("team/m", "oci://localhost/m")


def test_a_store_is_not_opened_at_a_registry() -> None:
    with pytest.raises(ValueError, match="is a hub, not a store"):
        saver.Saver("oci://localhost/m")


def test_a_registry_that_is_not_there_is_said_in_a_few_words(here: saver.Saver) -> None:
    with pytest.raises(saver.CannotReadError) as it:
        here.push("team/m", "oci://127.0.0.1:1/m")
    assert "ConnectionError: " in str(it.value)
    assert "Connection refused; check the address" in str(it.value)
    assert "HTTPConnection" not in str(it.value)


def test_nothing_is_pulled_from_nothing(registry: Fake) -> None:
    with pytest.raises(saver.NotFoundError, match=re.escape(f"oci://{registry.host}/m:v1: there is nothing")):
        empty().pull("team/m", f"oci://{registry.host}/m:v1")


def test_more_objects_than_a_manifest_takes_are_refused_before_the_tag_changes(
    here: saver.Saver, registry: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_artifact, "LARGEST", 1000)
    with pytest.raises(saver.CannotWriteError, match="--no-history"):
        here.push("team/m", f"oci://{registry.host}/m")
    assert registry.tags == {}


def test_the_manifest_is_one_of_oci(here: saver.Saver, registry: Fake) -> None:
    here.push("team/m", f"oci://{registry.host}/m")
    found = registry.manifest("latest")
    assert found["mediaType"] == _artifact.MANIFEST
    assert found["artifactType"] == _artifact.STORE
    assert registry.blobs[found["config"]["digest"]] == b"{}"
    for layer in found["layers"]:
        assert len(registry.blobs[layer["digest"]]) == layer["size"]
    titles = [layer["annotations"][_artifact.TITLE] for layer in found["layers"]]
    assert titles == sorted(titles)
    assert json.loads(registry.blobs[found["layers"][titles.index("store.json")]["digest"]])


class TestSnapshot(StorageTests):
    """An empty hub to which objects are added is a storage like any other."""

    @pytest.fixture
    def storage(self, tmp_path: Path) -> Snapshot:
        return Snapshot("test://", {}, lambda key: pytest.fail(key), str(tmp_path / "snapshot"))


def answered(parts: Any, batch: Any) -> Any:
    return {"sum": batch.sum(axis=1)}


def test_an_example_goes_to_a_registry_and_back(real: str) -> None:
    store, there = saver.Saver(MemoryStorage("golden")), empty()
    store.save("net", {"w": WEIGHTS}, example=np.arange(6.0).reshape(3, 2), pipeline=answered)
    store.push("net", f"oci://{real}/team/golden:v1")
    there.pull("net", f"oci://{real}/team/golden:v1")
    assert there.check_predictions("net", trust=["*.answered"]).identical == 3
    assert there.version("net").parts == store.version("net").parts
