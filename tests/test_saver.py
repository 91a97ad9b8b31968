"""The store as its users see it."""

from __future__ import annotations

import dataclasses
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import saver
from equality import assert_same


@dataclasses.dataclass
class Plan:
    rate: float
    layers: list[int]


@pytest.fixture
def store(tmp_path: Path) -> saver.Saver:
    return saver.Saver(tmp_path / "models")


def fill(store: saver.Saver) -> dict[str, Any]:
    saved = {"scaler": {"mean": np.arange(400.0)}, "model": Plan(0.1, [3, 4])}
    store.save("iris", saved, step=10, metrics={"loss": 1.5}, tags=["best"], notes="the first")
    saved = {**saved, "model": Plan(0.2, [3, 4])}
    store.save("iris", saved, step=20, metrics={"loss": np.float32(0.5)}, data=np.arange(9))
    return saved


def test_what_was_saved_comes_back_by_every_kind_of_ref(store: saver.Saver) -> None:
    saved = fill(store)
    for ref in ("iris", "iris@2", "iris@latest", "iris@step=20", "iris@time=2999-01-01"):
        assert_same(store.load(ref, trust=[f"{__name__}.*"]), saved)
    for ref in ("iris@1", "iris@best", "iris@step=10"):
        assert store.load(ref, trust=[f"{__name__}.*"])["model"] == Plan(0.1, [3, 4])


def test_an_object_that_is_not_a_mapping_comes_back_as_it_is(store: saver.Saver) -> None:
    store.save("list", [1, np.arange(3)])
    assert_same(store.load("list"), [1, np.arange(3)])
    assert list(store.version("list").parts) == ["model"]


def test_a_version_tells_what_is_known_of_it(store: saver.Saver) -> None:
    fill(store)
    first, second = store.versions("iris")
    assert (str(first), first.model, first.number, first.step, first.tags) == (
        "iris@1",
        "iris",
        1,
        10,
        ("best",),
    )
    assert (first.notes, first.metrics, second.metrics) == ("the first", {"loss": 1.5}, {"loss": 0.5})
    assert (first.parent, second.parent) == (None, 1)
    assert {name: part.number for name, part in second.parts.items()} == {"scaler": 1, "model": 2}
    assert first.bytes >= 3200
    assert store.version("iris@2") == second


def test_only_the_bytes_of_the_requested_parts_are_read(store: saver.Saver) -> None:
    net = {"weights": np.arange(1000.0)}
    store.save("m", {"net": net, "other": np.arange(2000.0), "view": [net]})
    for pack in Path(str(store.storage)).glob("packs/*"):
        damage(pack, np.arange(2000.0).tobytes()[12_000:12_100])
    assert_same(store.load("m", parts=["net"]), {"net": net})
    found = store.load("m", parts=["view", "net"])
    assert found["view"][0] is found["net"], "what parts share is shared again"
    assert_same(store.load("m", parts=["view"])["view"], [net])
    with pytest.raises(saver.DamagedError, match="other"):
        store.load("m")
    lazy = store.load("m", lazy=True)
    assert_same(dict(lazy["net"]), net)
    with pytest.raises(saver.DamagedError, match="other"):
        lazy["other"]
    with pytest.raises(saver.NotFoundError, match="no part 'nothing'; it has net, other, view"):
        store.load("m", parts=["nothing"])


def damage(path: Path, bytes_: bytes) -> None:
    data = path.read_bytes()
    assert data.count(bytes_) == 1
    path.chmod(0o644)
    path.write_bytes(data.replace(bytes_, bytes_[::-1]))


def test_parts_that_are_not_asked_for_need_no_trust(store: saver.Saver) -> None:
    fill(store)
    assert list(store.load("iris", parts=["scaler"])) == ["scaler"]
    with pytest.raises(saver.UntrustedError):
        store.load("iris", parts=["model"])


def test_tags_name_one_version_and_move(store: saver.Saver) -> None:
    fill(store)
    store.tag("iris@1", "production")
    assert store.version("iris@production").number == 1
    store.tag("iris", "production")
    store.tag("iris", "production")
    assert store.version("iris@production").number == 2
    assert store.version("iris@2").tags == ("production",)
    store.untag("iris", "production")
    with pytest.raises(saver.NotFoundError, match="no iris@production"):
        store.untag("iris", "production")
    with pytest.raises(saver.NotFoundError, match="no iris@7"):
        store.tag("iris@7", "x")


def test_history_says_who_moved_what(store: saver.Saver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAVER_AUTHOR", "ada")
    store = saver.Saver(store.storage)
    store.save("m", {"a": 1, "b": 2})
    monkeypatch.setenv("SAVER_AUTHOR", "grace")
    saver.Saver(store.storage).save("m", {"a": 1, "b": 3, "c": 0})
    store.save("m", {"b": 3, "c": 1})
    told = [(str(c.version), c.version.author, c.changed, c.added, c.removed) for c in store.history("m")]
    assert told == [
        ("m@1", "ada", (), ("a", "b"), ()),
        ("m@2", "grace", ("b",), ("c",), ()),
        ("m@3", "ada", ("c",), (), ("a",)),
    ]


def test_a_deleted_version_is_gone_and_its_number_stays_taken(store: saver.Saver) -> None:
    saved = fill(store)
    assert [version.number for version in store.delete("iris@best", tags=True)] == [1]
    with pytest.raises(saver.NotFoundError):
        store.load("iris@1")
    with pytest.raises(saver.NotFoundError):
        store.version("iris@best")
    assert [version.number for version in store.delete("iris@latest")] == [2]
    assert store.models() == []
    assert store.save("iris", saved).number == 3


def test_deleting_latest_deletes_one_version_though_others_come(store: saver.Saver) -> None:
    fill(store)
    assert [version.number for version in store.delete("iris@latest")] == [2]
    assert [version.number for version in store.versions("iris")] == [1]
    with pytest.raises(saver.NotFoundError):
        store.delete("iris@2")


def test_models_are_listed_in_order(store: saver.Saver) -> None:
    with pytest.raises(saver.NotFoundError, match="there is no store here"):
        store.models()
    for name in ("zoo", "team/b", "team/a"):
        store.save(name, 1)
    assert store.models() == ["team/a", "team/b", "zoo"]
    with pytest.raises(saver.NotFoundError, match="no model 'team/c'; there are team/"):
        store.versions("team/c")


def test_a_store_that_is_not_there_is_not_made_by_asking(tmp_path: Path) -> None:
    store = saver.Saver(tmp_path / "typo")
    for ask in (
        store.versions,
        store.load,
        store.version,
        store.delete,
        lambda _: store.gc(),
        lambda _: store.check(),
    ):
        with pytest.raises(saver.NotFoundError, match="no store here"):
            ask("m")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"model": "a b"}, "is not the name of a model"),
        ({"step": -1}, "step: -1"),
        ({"step": 1.5}, "step: a float"),
        ({"step": "3"}, "step: a str"),
        ({"metrics": {"loss": "low"}}, r"metrics\['loss'\]: a str"),
        ({"metrics": {"": 1}}, "metrics: ''"),
        ({"metrics": {"loss": np.arange(2)}}, r"metrics\['loss'\]: a ndarray"),
        ({"tags": ["latest"]}, "is not a tag"),
        ({"notes": 3}, "notes: an int"),
        ({"notes": "x" * 20_000}, "notes: it has 20,000 characters"),
        ({"data": "no/such/file.csv"}, "data"),
        ({"base": "nothing"}, "nothing"),
    ],
)
def test_bad_details_are_reported_before_anything_is_written(
    store: saver.Saver, wrong: dict[str, Any], message: str
) -> None:
    fill(store)
    before = sorted(Path(str(store.storage)).rglob("*"))
    with pytest.raises((saver.SaverError, TypeError, ValueError), match=message):
        store.save(**{"model": "iris", "obj": 1, **wrong})
    assert sorted(Path(str(store.storage)).rglob("*")) == before


def test_what_it_was_trained_on_is_recorded(store: saver.Saver, tmp_path: Path) -> None:
    csv = tmp_path / "train.csv"
    csv.write_text("a,b\n1,2\n")
    store.save("m", 1, data={"table": csv, "labels": np.arange(5)}, seeds={"split": 42})
    store.save("m", 1, data={"table": str(csv), "labels": np.arange(6)})
    one, two = store.describe("m@1"), store.describe("m@2")
    assert one.data["table"] == two.data["table"]
    assert one.data["labels"] != two.data["labels"]
    assert one.environment["random"]["given"] == {"split": 42}
    assert str(tmp_path) not in str(one.data)


def test_a_version_can_be_carried_as_one_file(store: saver.Saver, tmp_path: Path) -> None:
    saved = fill(store)
    path = tmp_path / "iris.saver"
    assert store.export("iris", path).bytes == path.stat().st_size
    assert_same(saver.load(path, trust=[f"{__name__}.*"]), saved)
    elsewhere = saver.Saver(tmp_path / "elsewhere")
    version = elsewhere.import_(path, "team/iris", tags=["given"])
    assert (version.step, version.metrics, version.tags, version.notes) == (20, {"loss": 0.5}, ("given",), "")
    assert_same(elsewhere.load("team/iris", trust=[f"{__name__}.*"]), saved)
    original = store.describe("iris")
    copied = elsewhere.describe("team/iris@given")
    assert copied.environment == original.environment
    assert copied.data == original.data
    assert [part.hash for part in copied.parts] == [part.hash for part in original.parts]
    again = store.import_(path, "iris")
    assert {name: part.number for name, part in again.parts.items()} == {"scaler": 1, "model": 2}


def test_a_dumped_file_can_be_imported(store: saver.Saver, tmp_path: Path) -> None:
    saver.dump({"x": np.arange(1000)}, tmp_path / "x.saver")
    store.import_(tmp_path / "x.saver", "x")
    assert_same(store.load("x"), {"x": np.arange(1000)})


def test_a_copied_folder_is_an_equal_store_of_its_own(store: saver.Saver, tmp_path: Path) -> None:
    saved = fill(store)
    shutil.copytree(str(store.storage), tmp_path / "copy")
    copy = saver.Saver(tmp_path / "copy")
    assert copy.check().sound
    assert copy.versions("iris") == store.versions("iris")
    copy.save("iris", 1)
    assert len(store.versions("iris")) == 2
    assert_same(store.load("iris", trust=[f"{__name__}.*"]), saved)


def test_a_store_holds_plain_files_with_relative_names(store: saver.Saver) -> None:
    from safetensors import safe_open

    fill(store)
    root = Path(str(store.storage))
    names = [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()]
    assert all(set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-./") for name in names)
    for path in root.rglob("*.json"):
        assert str(root) not in path.read_text()
    pack, *_ = store.version("iris@1").packs
    with safe_open(root / "packs" / f"{pack}.safetensors", "numpy") as opened:
        np.testing.assert_array_equal(opened.get_tensor("scaler/mean"), np.arange(400.0))


def test_memory_stores_are_found_by_name() -> None:
    saver.Saver("memory://shared-by-name").save("m", [1])
    assert saver.Saver("memory://shared-by-name").load("m") == [1]
    with pytest.raises(saver.IncompatibleError, match="ftp"):
        saver.Saver("ftp://host/models")


def test_bytes_that_lie_anywhere_in_the_store_are_not_written_again(
    store: saver.Saver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAVER_CACHE", str(tmp_path / "cache"))
    weights = {"w": np.random.default_rng(0).standard_normal(400_000)}
    store.save("one", weights)
    store.save("two", {"other name": weights["w"].copy(), "small": np.arange(3)})
    assert store.version("two").bytes_added < 5000
    (tmp_path / "cache").rename(tmp_path / "lost")
    fresh = saver.Saver(tmp_path / "models")
    assert fresh.save("three", weights).bytes_added > 3_000_000, "the index is only ever a cache"
    store.save("more", {"w": weights["w"] + 1})
    (tmp_path / "cache").rename(tmp_path / "lost again")
    fresh = saver.Saver(tmp_path / "models")
    assert fresh.check().sound
    assert fresh.save("four", {"v": weights["w"] + 1}).bytes_added < 5000, "a check learns it anew"
    assert_same(fresh.load("two")["other name"], weights["w"])


def test_the_index_is_checked_against_the_live_log(
    store: saver.Saver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAVER_CACHE", str(tmp_path / "cache"))
    weights = {"w": np.random.default_rng(0).standard_normal(400_000)}
    store.save("one", weights)
    store.delete("one@1")
    store.gc(grace=0)
    version = store.save("two", weights)
    assert version.bytes_added > 3_000_000
    assert_same(store.load("two"), weights)
