"""`prune`: what a policy does not keep is deleted, and never the last sound version."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import saver
from saver import Keep

AUC = (0.5, 0.9, float("nan"), 0.9, 0.7)


@pytest.fixture
def store(tmp_path: Path) -> saver.Saver:
    made = saver.Saver(tmp_path / "models")
    for number, auc in enumerate(AUC):
        made.save("iris", np.arange(2000.0) + number, step=number, metrics={"auc": auc})
    return made


def numbers(versions: list[saver.Version]) -> list[int]:
    return [version.number for version in versions]


def damage(store: saver.Saver, tmp_path: Path, *refs: str) -> None:
    for ref in refs:
        for pack in store.version(ref).packs:
            path = tmp_path / "models" / "packs" / f"{pack}.safetensors"
            raw = bytearray(path.read_bytes())
            raw[-1] ^= 1
            path.chmod(0o644)
            path.write_bytes(raw)


def test_what_the_policy_does_not_keep_goes_in_one_record(store: saver.Saver) -> None:
    keep = Keep(last=1) | Keep(best=1, by="auc", mode="max")
    assert numbers(store.prune("iris", keep, dry_run=True)) == [1, 3, 4]
    assert len(store.versions("iris")) == 5
    assert numbers(store.prune("iris", keep)) == [1, 3, 4]
    assert numbers(store.versions("iris")) == [2, 5]
    entry = next(store.log())
    assert (entry.kind, entry.numbers) == ("delete", (1, 3, 4))
    assert store.prune("iris", keep) == []
    assert next(store.log()) == entry


def test_the_best_by_a_ref_is_the_one_that_is_kept(store: saver.Saver) -> None:
    best = store.version("iris@best:auc")
    store.prune("iris", Keep(best=1, by="auc", mode="max"))
    assert best in store.versions("iris")


def test_tagged_versions_stay(store: saver.Saver) -> None:
    store.tag("iris@1", "production")
    assert numbers(store.prune("iris", Keep(last=1))) == [2, 3, 4]


def test_the_newest_sound_version_stays_whatever_the_policy(store: saver.Saver, tmp_path: Path) -> None:
    damage(store, tmp_path, "iris@5", "iris@4")
    assert numbers(store.prune("iris", Keep(last=1))) == [1, 2, 4]
    assert numbers(store.versions("iris")) == [3, 5]
    assert store.load("iris@3")[0] == 2


def test_if_no_version_is_sound_nothing_is_deleted(store: saver.Saver, tmp_path: Path) -> None:
    damage(store, tmp_path, *(f"iris@{number}" for number in range(1, 6)))
    with pytest.raises(saver.DamagedError, match=r"no version of iris is sound, so nothing was deleted"):
        store.prune("iris", Keep(last=1))
    assert len(store.versions("iris")) == 5


def test_a_metric_that_no_version_has_deletes_nothing(store: saver.Saver) -> None:
    with pytest.raises(saver.NotFoundError, match=r"metric 'acu', so nothing was deleted; its metrics: auc"):
        store.prune("iris", Keep(best=1, by="acu", mode="max"))
    assert len(store.versions("iris")) == 5


def test_what_is_saved_while_it_looks_stays(store: saver.Saver, monkeypatch: pytest.MonkeyPatch) -> None:
    other = saver.Saver(store.storage)

    def meanwhile(*_: object) -> int:
        other.save("iris", [1], metrics={"auc": 0.1})
        other.tag("iris@1", "production")
        return 5

    monkeypatch.setattr("saver.pruning._newest_sound", meanwhile)
    assert numbers(store.prune("iris", Keep(last=1))) == [2, 3, 4]


@pytest.mark.parametrize("keep", [None, 5, "last=5", {"last": 5}])
def test_a_policy_is_required(store: saver.Saver, keep: object) -> None:
    with pytest.raises(TypeError, match="Keep"):
        store.prune("iris", keep)  # type: ignore[arg-type]


def test_a_model_that_is_not_there_is_reported(store: saver.Saver) -> None:
    with pytest.raises(saver.NotFoundError, match="no model 'rose'"):
        store.prune("rose", Keep(last=1))
