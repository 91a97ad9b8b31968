"""A replica that starts while its ref names a version that is refused begins with the one before it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("starlette")
pytest.importorskip("sklearn")

from irises import filled

import saver
from saver.errors import IncompatibleError, SignatureError
from saver.serve.earlier import earlier
from saver.serve.serving import TRIED, Serving
from saver.serve.settings import Settings


@pytest.fixture
def store(tmp_path: Path) -> saver.Saver:
    """One model with versions 1 to 6, in which `production` named 2, 5, nothing, 1, 2 and 6."""
    store = saver.Saver(tmp_path / "store")
    for value in range(6):
        store.save("a", {"model": np.full(3, value)})
    store.tag("a@2", "production")
    store.tag("a@5", "production")
    store.tag("a@4", "other")
    store.untag("a", "production")
    for number in (1, 2, 6):
        store.tag(f"a@{number}", "production")
    return store


@pytest.mark.parametrize(
    ("ref", "before"),
    [
        ("a@production", ["a@2", "a@1", "a@5"]),
        ("a@other", []),
        ("a", ["a@5", "a@4", "a@3", "a@2", "a@1"]),
        ("a@latest", ["a@5", "a@4", "a@3", "a@2", "a@1"]),
        ("a@3", []),
        ("a@step=3", []),
    ],
)
def test_what_a_ref_named_before(store: saver.Saver, ref: str, before: list[str]) -> None:
    assert earlier(store, ref, 0.0, 9) == before
    assert earlier(store, ref, 0.0, 2) == before[:2]


def test_deleted_versions_are_left_out(store: saver.Saver) -> None:
    store.delete("a@1")
    assert earlier(store, "a@production", 0.0, 9) == ["a@2", "a@5"]
    assert earlier(store, "a", 0.0, 9) == ["a@5", "a@4", "a@3", "a@2"]


@pytest.mark.parametrize("ref", ["a@production", "a"])
def test_it_goes_back_to_what_was_named_at_that_time(store: saver.Saver, ref: str) -> None:
    """Whatever the time: the ref as it was then is the last."""
    all_before = earlier(store, ref, 0.0, 9)
    times = [entry.time for entry in store.log("a", kinds=("save", "tag"))]
    lengths = {len(earlier(store, ref, time, 9)) for time in times}
    assert len(lengths) > 2
    for time in times:
        assert earlier(store, ref, time, 9) == all_before[: len(earlier(store, ref, time, 9))]
    assert earlier(store, ref, times[0] + 1, 9) == []


def test_a_tag_that_a_save_moved(tmp_path: Path) -> None:
    store = saver.Saver(tmp_path)
    for value in range(3):
        store.save("a", {"model": np.full(3, value)}, tags=["production"])
    assert earlier(store, "a@production", 0.0, 9) == ["a@2", "a@1"]


def begun(store: saver.Saver, names: dict[str, str], since: float) -> tuple[bool, dict[str, str | None]]:
    """Whether all names have a generation once the first load was refused, and which."""

    async def beginning() -> tuple[bool, dict[str, str | None]]:
        serving = Serving(Settings(store=str(store.storage), names=names, workers=1))
        try:
            with pytest.raises(IncompatibleError):
                await serving.load()
            whole = await serving.load_earlier(since)
            return whole, {
                name: each.current.ref if each.current else None for name, each in serving.models.items()
            }
        finally:
            await asyncio.gather(*(each.close() for each in serving.models.values()))

    return asyncio.run(beginning())


class Started:
    """In the place of a generation."""

    def __init__(self, ref: str) -> None:
        self.ref, self.lost = ref, False


async def started(ref: str) -> Started:
    return Started(ref)


def test_what_a_tag_named_needs_the_signatures_of_that_tag_wherever_it_is_by_now(
    store: saver.Saver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who may move a tag could move it to a version and away again, between a look and a load."""
    pytest.importorskip("cryptography")
    from signed import private, text_of

    monkeypatch.setenv("SAVER_HEADS", str(tmp_path / "heads"))
    store.sign("a@2", private("alice"))
    trust = f'[keys]\nalice = "{text_of("alice")}"\n[[require]]\ntags = ["production"]\n'
    (tmp_path / "trust.toml").write_text(trust)
    monkeypatch.setenv("SAVER_TRUST_FILE", str(tmp_path / "trust.toml"))
    names = {"p": "a@production", "o": "a@other", "n": "a@1"}
    serving = Serving(Settings(store=str(store.storage), names=names, workers=1, poll=0.001))
    for served in serving.models.values():
        monkeypatch.setattr(served, "_start", started)
    monkeypatch.setattr(serving, "_exact", lambda ref: "a@1")  # what all of them named a moment ago

    async def follow() -> str:
        for task in (tasks := serving.following()):
            while not serving.models["p"].trouble:
                await asyncio.sleep(0.01)
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return serving.models["p"].trouble

    def current() -> dict[str, str | None]:
        return {name: each.current.ref if each.current else None for name, each in serving.models.items()}

    with pytest.raises(SignatureError, match=r"a@1: it has no signature.* does not answer as @production"):
        asyncio.run(serving.load())
    assert current() == {"p": None, "o": "a@1", "n": "a@1"}
    assert asyncio.run(serving.load_earlier(0.0))
    assert current() == {"p": "a@2", "o": "a@1", "n": "a@1"}
    assert "does not answer as @production" in asyncio.run(follow())
    assert current() == {"p": "a@2", "o": "a@1", "n": "a@1"}


@pytest.mark.slow
def test_names_begin_with_what_they_named_before(tmp_path: Path) -> None:
    store = filled(tmp_path / "store")
    store.tag("iris@2", "production")
    deployed = store.version("iris@1").time
    store.save("iris", {"model": np.zeros(3)})  # which no golden predictions prove
    store.tag("iris@4", "production")
    names = {"a": "iris@production", "b": "iris", "c": "iris@1"}
    assert begun(store, names, deployed) == (True, {"a": "iris@2", "b": "iris@3", "c": "iris@1"})
    (moved, *_) = store.log("iris", kinds=("tag",))
    assert begun(store, names, moved.time + 1) == (False, {"a": None, "b": None, "c": "iris@1"})


@pytest.mark.slow
def test_no_more_than_a_few_are_tried(tmp_path: Path) -> None:
    store = filled(tmp_path / "store")
    for _ in range(TRIED):
        store.save("iris", {"model": np.zeros(3)})
    assert begun(store, {"a": "iris"}, 0.0) == (True, {"a": "iris@3"})
    store.save("iris", {"model": np.zeros(3)})
    assert begun(store, {"a": "iris"}, 0.0) == (False, {"a": None})
