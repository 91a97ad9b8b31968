"""The benchmarks run, and every tool in them really saves and loads what it is measured with."""

# ruff: noqa: E402  what is missing skips the file before anything imports it

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

for needed in ("torch", "safetensors", "joblib", "h5py", "sklearn", "skops", "pandas", "matplotlib"):
    pytest.importorskip(needed)

from benchmarks import (
    buckets,
    checkpoints,
    distributed,
    frameworks,
    large,
    limits,
    memory,
    models,
    orbax,
    rewriting,
    scale,
    sealing,
    servers,
    serving,
    simulation,
    small,
    startup,
    versions,
)
from benchmarks.loops import LAYERS, LIMIT, SAVINGS, WIDTH, Training
from benchmarks.measure import make_cold, make_warm, resident
from benchmarks.peers import Peer, peers
from benchmarks.ranks import DCP, HSDP, MEMCPY, OURS
from benchmarks.report import Report
from benchmarks.states import MANY, ONE, SHAPES, TENSORS, Shape, equal, size_of, touch
from benchmarks.stores import allocated, build, build_long, index_in, model_name, small_model
from benchmarks.tables import Row, Table, markdown, plain
from benchmarks.targets import verdicts

from saver import Saver
from saver.tensors import BLOCK

TINY = [TENSORS.smaller(500), MANY.smaller(500), ONE.smaller(2000)]
WAY = limits.Way(False, 2, limits.MIB)
WAYS = limits.Fastest((WAY,), (WAY,))
TINY_MODEL = 64
"""By how much the model of the versions is made smaller."""


SMALL_RUN = 5000
"""By how much the training run that saves itself is made smaller."""

NEEDS = {"Lightning AsyncCheckpointIO": "lightning", "Orbax CheckpointManager": "jax"}
"""They are met in processes of their own alone: where JAX is imported, nobody may fork any more."""


@pytest.mark.parametrize("shape", TINY, ids=lambda shape: shape.name)
@pytest.mark.parametrize("peer", list(peers()), ids=lambda peer: peer.name)
def test_what_every_tool_saves_comes_back_equal(peer: Peer, shape: Shape, tmp_path: Path) -> None:
    state = peer.state(shape.arrays())
    peer.save(state, tmp_path / "state")
    for load in peer.loads:
        loaded = load.load(tmp_path / "state", state)
        assert equal(loaded, state), load.name
        assert touch(loaded) == touch(state)


def test_a_state_that_differs_by_one_bit_is_not_equal() -> None:
    state, other = TINY[0].arrays(), TINY[0].arrays()
    assert equal(state, other)
    other["norm.bias"][-1] = np.nextafter(other["norm.bias"][-1], np.float32(2))
    assert not equal(state, other)
    assert not equal(state, {name: state[name] for name in list(state)[1:]})


@pytest.mark.parametrize(("shape", "count"), [(TENSORS, 200), (MANY, 20_000), (ONE, 1)])
def test_the_states_are_as_large_as_their_titles_say(shape: Shape, count: int) -> None:
    axes = [axes for _, axes in SHAPES[shape.name](shape)]
    assert sum(4 * int(np.prod(each)) for each in axes) == pytest.approx(shape.size, rel=0.05)
    assert len(axes) == pytest.approx(count, rel=0.1)


@pytest.mark.slow
def test_every_large_table_has_a_row_for_every_tool_and_the_limit(tmp_path: Path) -> None:
    everyone = list(peers())
    tables = large.run(TINY[0], tmp_path, WAYS, 2, everyone)
    assert [table.name for table in tables] == ["tensors-save", "tensors-cold", "tensors-warm"]
    saved = [row.what for row in tables[0].rows]
    loaded = [load.name for peer in everyone for load in peer.loads]
    assert saved == [large.SAVE_LIMIT, *(peer.name for peer in everyone)]
    assert [row.what for row in tables[1].rows] == [large.READ_LIMIT, *loaded]
    assert [row.what for row in tables[2].rows] == [large.HASH_LIMIT, large.HASH_MORE, *loaded]
    assert all(len(row.seconds) == 2 for table in tables for row in table.rows)
    assert list(tmp_path.iterdir()) == []


def test_what_is_written_over_or_trained_on_is_measured(tmp_path: Path) -> None:
    tables = rewriting.run(tmp_path, 2, 2000)
    assert [table.name for table in tables] == ["over", "then-write"]
    assert all(len(row.seconds) == 2 for table in tables for row in table.rows)
    assert len(Report(tables, [], {}, "2").goals()) == 5
    assert list(tmp_path.iterdir()) == []


def test_what_sealing_costs_is_measured(tmp_path: Path) -> None:
    tables = sealing.run(tmp_path, 2, 2000, versions=20)
    assert [table.name for table in tables] == ["sealed-save", "sealed-load", "sealed-lookups"]
    assert all(len(row.seconds) == 2 for table in tables for row in table.rows)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_serving_is_measured_and_others_that_are_not_installed_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for needed in ("starlette", "uvicorn"):
        pytest.importorskip(needed)
    for kind in servers.PEERS.values():
        monkeypatch.delenv(f"SAVER_{kind.upper()}", raising=False)
    tables = serving.run(tmp_path, 1, (1,), 0.1, 100)
    said = capsys.readouterr().out
    assert all(f"{name}: left out" in said for name in servers.PEERS)
    assert [table.name for table in tables] == [
        f"serving {serving.SCALED} 1", f"serving {serving.FOREST} 1", "serving cold", "serving memory",
    ]  # fmt: skip
    for table in tables[:2]:
        assert [row.what for row in table.rows] == [servers.OURS, servers.BARE]
    assert [row.what for row in tables[3].rows] == ["1 worker", "4 workers"]
    assert all(row.bytes[0] > 10_000_000 for row in tables[3].rows)
    goals = [goal for goal, *_ in verdicts(tables, [])]
    assert len(goals) == 5
    assert not [goal for goal in goals if "mlflow" in goal]
    Report(tables).save(tmp_path)
    assert all(f"### {table.title}" in (tmp_path / "RESULTS.md").read_text() for table in tables)


@pytest.mark.long
def test_small_models_and_processes_are_measured_and_reported(tmp_path: Path) -> None:
    tables = [*models.run(tmp_path, 1, 120), *small.run(tmp_path, 1, 10, 100), *startup.run(tmp_path, 1)]
    assert list(tmp_path.iterdir()) == []
    for table in tables:
        assert all(row.seconds for row in table.rows), table.name
    rows = {row.what for table in tables for row in table.rows}
    assert {
        "0.2 MB run: a step that saves", "0.2 MB run: the same, until it is written",
        "0.2 MB: torch.save, with fsync", "restore many: 200 small dicts",
    } <= rows  # fmt: skip
    state = large.run(TINY[0], tmp_path, WAYS, 1, list(peers())[:4])
    peaks = [memory.Peak("Saver (NumPy)", 1000, 32 << 20)]
    report = Report([*state, *tables], peaks, {"date": "today"}, "1")
    report.save(tmp_path / "results")
    text = (tmp_path / "results" / "RESULTS.md").read_text(encoding="utf-8")
    assert all(table.title in text for table in report.tables)
    assert "memory of a save" in text
    for picture in ("tensors.png", "models.png", "startup.png"):
        assert picture in text
        assert (tmp_path / "results" / picture).read_bytes().startswith(b"\x89PNG")
    assert len(json.loads(report.json())["tables"]) == len(report.tables)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras, of TensorFlow's
@pytest.mark.filterwarnings("ignore:.*has not reviewed")  # CatBoost, which takes trust
@pytest.mark.parametrize("name", frameworks.MODELS)
def test_frameworks_are_measured_against_their_own_savers(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip(name)
    monkeypatch.setattr(frameworks, "MODELS", {name: frameworks.MODELS[name]})
    cached, original = list[float](), frameworks.saver.load

    def watched(path: Path, **more: Any) -> Any:
        cached.append(resident(path))
        return original(path, **more)

    monkeypatch.setattr(frameworks.saver, "load", watched)
    save, load = frameworks.run(tmp_path, 1, 10)
    assert set(cached) == {1.0}, "what is loaded is in the page cache, as the table says"
    assert list(tmp_path.iterdir()) == []
    assert all(row.seconds for table in (save, load) for row in table.rows)
    Report([save, load], rounds="1").save(tmp_path)
    assert save.title in (tmp_path / "RESULTS.md").read_text(), "also where nothing else was measured"


@pytest.mark.long
def test_a_version_of_savers_adds_what_changed_and_one_of_the_others_adds_it_all(tmp_path: Path) -> None:
    pytest.importorskip("mlflow")
    others = (*versions.PEERS, versions.MLFLOW)
    tables = versions.run(tmp_path, TINY_MODEL, 1, 2)
    assert list(tmp_path.iterdir()) == []
    assert [table.name for table in tables] == [f"versions-{each.name}" for each in versions.SCENARIOS]
    state = versions.model(TINY_MODEL)
    for table, scenario in zip(tables, versions.SCENARIOS, strict=True):
        assert {row.what for row in table.rows if row.seconds} == {versions.LIMIT, versions.OURS, *others}
        (changed,) = table.row(versions.LIMIT).bytes
        (added,) = table.row(versions.OURS).bytes
        assert changed == scenario.bytes(state)
        assert changed <= added <= changed + 200_000, scenario.name
        for other in others:
            assert size_of(state) <= table.row(other).bytes[0] <= 1.1 * size_of(state)
    assert tables[0].row(versions.PACKS).bytes == (0,)
    Report(tables).save(tmp_path)
    assert "versions.png" in (tmp_path / "RESULTS.md").read_text(encoding="utf-8")
    assert (tmp_path / "versions.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("scenario", versions.SCENARIOS, ids=lambda scenario: scenario.name)
def test_a_scenario_changes_the_bytes_that_it_says(scenario: versions.Scenario) -> None:
    state, before = versions.model(TINY_MODEL), versions.model(TINY_MODEL)
    blocks = set()
    for number in range(3):
        scenario.change(state, number)
        changed = [name for name in state if not np.array_equal(state[name], before[name])]
        rows = np.flatnonzero((state["embedding.weight"] != before["embedding.weight"]).any(axis=1))
        if scenario.name == "rows":
            assert changed == ["embedding.weight"]
            assert len(rows) == 64
            assert len(set(rows * 4096 // BLOCK)) == 1
            blocks.add(rows[0] * 4096 // BLOCK)
        else:
            assert sum(state[name].nbytes for name in changed) == scenario.bytes(state)
        before = {name: array.copy() for name, array in state.items()}
    assert len(blocks) in (0, 3)


@pytest.mark.slow
def test_the_model_of_the_versions_is_as_large_as_it_says() -> None:
    state = versions.model()
    assert len(state) == pytest.approx(100, abs=5)
    assert state["embedding.weight"].nbytes == 128 << 20
    assert size_of(state) - (128 << 20) == pytest.approx(200e6, rel=0.05)


def test_a_store_that_was_built_is_what_saving_would_have_left(tmp_path: Path) -> None:
    with index_in(tmp_path / "cache"):
        build(tmp_path / "store", 2, 70)
        store = Saver(tmp_path / "store")
        assert store.models() == [model_name(0), model_name(1)]
        found = store.check()
        assert found.sound
        assert found.versions == 140
        assert found.garbage == ()
        latest = store.version(f"{model_name(1)}@latest")
        assert (latest.number, latest.step) == (70, 69)
        loaded, saved = store.load(str(latest))["model"], small_model(69)["model"]
        assert np.array_equal(loaded.pop("coef"), saved.pop("coef"))
        assert loaded == saved
        assert store.save(model_name(1), small_model(70)).number == 71


def test_a_store_with_a_long_log_is_sound_and_goes_on(tmp_path: Path) -> None:
    with index_in(tmp_path / "cache"):
        assert build_long(tmp_path / "store", 4, 10, 45) == 404
        store = Saver(tmp_path / "store")
        assert store.models() == [model_name(number) for number in range(4)]
        found = store.check()
        assert found.sound
        assert found.versions == 40
        assert found.garbage == ()
        numbers = [version.number for version in store.versions(model_name(3))]
        assert numbers == list(range(46, 56))
        assert equal(store.load(f"{model_name(3)}@50")["model"], small_model(0)["model"])
        assert store.save(model_name(3), small_model(1)).number == 56


@pytest.mark.long
def test_stores_of_many_versions_and_models_are_measured_and_listed(tmp_path: Path) -> None:
    tables = scale.run(tmp_path, 1, 2, 2, 500)
    assert list(tmp_path.iterdir()) == []
    logs = [f"scale-log-{doing}" for doing in scale.DOINGS]
    tensors = ["scale-tensors-save", "scale-tensors-load"]
    assert [table.name for table in tables] == ["scale-open", "scale-save", "scale-list", *logs, *tensors]
    for table in tables[:2]:
        assert [row.what for row in table.rows] == list(scale.STORES)
        assert all(len(row.seconds) == 2 for row in table.rows)
    goals = [goal for goal, *_ in verdicts(tables, [])]
    assert len(goals) == 11
    assert scale.COMMAND in plain(tables[2])
    Report(tables).save(tmp_path)
    assert all(f"### {table.title}" in (tmp_path / "RESULTS.md").read_text() for table in tables)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:torch.distributed is disabled")
@pytest.mark.parametrize("name", [name for name in SAVINGS if name not in NEEDS])
def test_what_a_training_run_saves_is_the_moment_of_the_save(name: str, tmp_path: Path) -> None:
    with index_in(tmp_path / "cache"):
        saving = SAVINGS[name](Training(SMALL_RUN), tmp_path)
        for _ in range(2):
            checkpoints.compare(name, saving)
        saving.close()
    assert saving.held >= 0
    assert (saving.load() is None) is (name == LIMIT)


def test_a_save_that_comes_back_as_another_moment_is_noticed(tmp_path: Path) -> None:
    saving = SAVINGS["torch.save in the loop"](Training(SMALL_RUN), tmp_path)
    saving.save()
    saving.save = lambda: None  # type: ignore[method-assign]  # it saves no more
    saving.training.step()
    with pytest.raises(AssertionError, match="differs from the saved state"):
        checkpoints.compare("it", saving)


def test_a_training_run_is_as_large_as_it_says() -> None:
    width = LAYERS * (WIDTH * WIDTH + WIDTH) * 4
    assert 3 * width == pytest.approx(1.007e9, rel=1e-3)
    assert sum(array.nbytes for array in Training(SMALL_RUN).arrays()) == pytest.approx(
        1.007e9 / SMALL_RUN, rel=0.1
    )


def test_what_stops_a_training_run_is_measured_and_held_against_the_goals(tmp_path: Path) -> None:
    for needed in NEEDS.values():
        if find_spec(needed) is None:
            pytest.skip(f"{needed} is not installed")
    tables = checkpoints.run(tmp_path, 1, SMALL_RUN, 1, 2)
    assert list(tmp_path.iterdir()) == []
    blocked, pace = tables
    assert [row.what for row in blocked.rows] == list(SAVINGS)
    assert [row.what for row in pace.rows] == list(SAVINGS)[1:]
    assert all(row.seconds for table in tables for row in table.rows)
    goals = {goal: figure for goal, _, figure, _ in verdicts(tables, [])}
    assert len(goals) == 6
    assert all(float(figure.split()[0]) >= 0.9 for goal, figure in goals.items() if "snapshots" in goal)
    assert "MB kept" in plain(blocked)
    Report(tables).save(tmp_path)
    assert "checkpoints.png" in (tmp_path / "RESULTS.md").read_text(encoding="utf-8")
    assert (tmp_path / "checkpoints.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.long
def test_what_ranks_save_together_is_measured_and_held_against_the_goals(tmp_path: Path) -> None:
    tables = distributed.run(tmp_path, 1, SMALL_RUN, (2,), (HSDP,))
    assert list(tmp_path.iterdir()) == []
    kinds = {table.name.rpartition("-")[2]: [row.what for row in table.rows] for table in tables}
    ours = [OURS, DCP]
    assert kinds == {"save": ours, "cold": ours, "warm": ours, "blocked": [MEMCPY, *ours]}
    assert all(len(row.seconds) == 1 for table in tables for row in table.rows)
    goals = {goal: float(figure.split()[0]) for goal, _, figure, _ in verdicts(tables, [])}
    assert len(goals) == 6
    assert all(1 <= figure <= 2 for goal, figure in goals.items() if "bytes" in goal)
    assert all(0 <= figure <= 100 for goal, figure in goals.items() if distributed.COORDINATION in goal)
    Report(tables).save(tmp_path)
    assert "2 ranks, HSDP" in (tmp_path / "RESULTS.md").read_text(encoding="utf-8")


@pytest.mark.long
def test_what_processes_of_jax_save_together_is_measured(tmp_path: Path) -> None:
    for needed in ("jax", "orbax.checkpoint"):
        pytest.importorskip(needed)
    tables = orbax.run(tmp_path, 1, 400)
    assert list(tmp_path.iterdir()) == []
    assert [table.name for table in tables] == ["orbax-save", "orbax-cold", "orbax-warm"]
    assert all(len(row.seconds) == 1 for table in tables for row in table.rows)


def test_without_a_bucket_none_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(buckets.VARIABLE, raising=False)
    assert buckets.run(1) == []


def test_a_folder_takes_the_blocks_of_its_files(tmp_path: Path) -> None:
    assert allocated(tmp_path) == allocated(tmp_path / "nothing") == 0
    (tmp_path / "below").mkdir()
    for name in ("one", "below/two"):
        (tmp_path / name).write_bytes(b"x" * 10_000)
    found = subprocess.run(
        ("du", "-s", "-B1", tmp_path / "one", tmp_path / "below" / "two"), capture_output=True
    )
    assert allocated(tmp_path) == sum(int(line.split()[0]) for line in found.stdout.splitlines())


@pytest.mark.slow
def test_the_memory_of_a_save_is_measured_in_a_process_of_its_own(tmp_path: Path) -> None:
    found = memory.measure("joblib", tmp_path, 500)
    assert found is not None
    state, growth = found
    assert state == size_of(TENSORS.smaller(500).arrays())
    assert 0 <= growth < 1 << 30


def test_a_file_is_cold_or_warm_as_asked(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(8 << 20))
    make_cold(path)
    assert resident(path) < 0.01
    make_warm(path)
    assert resident(path) == 1


def test_raw_writes_and_reads_move_every_byte(tmp_path: Path) -> None:
    size = 3 * limits.MIB + 100
    for way in (WAY, limits.Way(False, 1, 4 * limits.MIB)):
        assert limits.raw_write(tmp_path / "raw", size, way) > 0
        assert (tmp_path / "raw").stat().st_size == -(-size // 4096) * 4096
        assert np.count_nonzero(np.fromfile(tmp_path / "raw", np.uint8)) > 0.9 * size
        assert limits.raw_read(tmp_path / "raw", size, way) > 0
    assert limits.hashing(40 * limits.MIB, 2) > 0


def _table() -> Table:
    rows = (
        Row("limit", (1.0, 2.0, 1.0)),
        Row("Saver (NumPy)", (1.25, 2.5, 5.0), (2.0, 4.0, 6.0)),
        Row("other", (0.5, 0.5, 0.5), (4.0, 8.0, 3.0), lazy=True),
        Row("none", (), note="not supported"),
    )
    return Table("t", "Title", "About.", rows, "other", "limit", 10**9)


def test_ratios_are_taken_within_a_round_and_their_median_shown() -> None:
    table = _table()
    assert table.of_limit("Saver (NumPy)") == pytest.approx(0.8)
    assert table.faster("Saver (NumPy)", "other") == pytest.approx(2.0)
    assert table.of_limit("other") == pytest.approx(0.25), "a lazy load counts once all was read"
    assert table.gigabytes("other") == pytest.approx(0.25)


def test_a_table_shows_every_row_in_equal_columns() -> None:
    table = _table()
    for text in (plain(table), markdown(table)):
        assert all(row.what in text for row in table.rows)
        assert "not supported" in text
    lines = [line for line in markdown(table).splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in lines}) == 1


def test_goals_say_by_how_much_they_are_missed() -> None:
    rows = (Row("Saver", (0.002,)), Row("joblib", (0.001,)), Row("skops", (0.02,)))
    table = Table("forest of 100 trees-dump", "", "", rows, "joblib", unit="ms")
    found = {goal: verdict for goal, _, _, verdict in verdicts([table], [])}
    assert found == {
        "forest of 100 trees: dump, against joblib": "short by 50%",
        "forest of 100 trees: dump, against skops": "pass",
    }


def test_goals_of_bytes_are_held_against_what_changed() -> None:
    rows = (
        Row(versions.LIMIT, (0.1, 0.1), bytes=(4_000_000, 4_000_000)),
        Row(versions.OURS, (0.1, 0.1), bytes=(4_100_000, 4_060_000)),
        Row(versions.PACKS, (), bytes=(0, 1)),
    )
    tables = [Table(f"versions-{name}", "", "", rows) for name in ("nothing", "head")]
    assert [(figure, verdict) for _, _, figure, verdict in verdicts(tables, [])] == [
        ("1.00 bytes", "short"),
        ("2.00 %", "short by 100%"),
    ]


def test_a_save_by_very_many_ranks_is_simulated() -> None:
    figures = simulation.simulate(30, 12)
    assert figures["reads for them"] == 2, "the manifest, and the page of that rank"
    assert figures["reads of the commit"] == 0
    assert figures["report, bytes"] < 1000
