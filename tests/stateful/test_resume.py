"""Training that is killed, or that its disk fails, goes on as if nothing had happened."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lives import KILLS

import saver
from saver import Every, Keep
from saver.checkpoints import Checkpoints
from saver.storages.local import LocalStorage
from saver.testing import FaultyFiles

LIVES = Path(__file__).with_name("lives.py")


# Killed


def start(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, LIVES, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def printed(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return out


@pytest.mark.parametrize("kind", ["torch", "sklearn"])
def test_training_that_is_killed_at_random_instants_ends_with_the_same_bits(
    kind: str, tmp_path: Path
) -> None:
    pytest.importorskip(kind)
    whole, killed = start(kind, tmp_path, "whole"), start(kind, tmp_path, "killed", 4)
    began = json.loads(printed(killed))
    printed(whole)
    printed(start(kind, tmp_path, "finish"))
    once, again = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("whole", "killed"))
    assert again["log"] == once["log"]
    assert again == once
    assert len(began) == KILLS
    resumed = [step for step in began if step > 0]
    assert resumed == sorted(resumed), "no life begins before the last one"
    assert len(set(resumed)) >= 4, "it was resumed in many places"
    assert saver.Saver(tmp_path / "killed").check().sound


# Failing disks


class Walk:
    """Something that trains: where it is depends on every step and every random number."""

    def __init__(self) -> None:
        self.place = np.zeros(1000)

    def train(self) -> float:
        self.place = 0.9 * self.place + np.random.rand(1000)
        return float(self.place.sum())

    def state_dict(self) -> dict[str, Any]:
        return {"place": self.place}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.place = state["place"]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAVER_CACHE", str(tmp_path / "cache"))


STEPS = 12


def begin(folder: Path, files: FaultyFiles | None = None) -> tuple[Walk, Checkpoints]:
    np.random.seed(1)
    walk = Walk()
    store = saver.Saver(LocalStorage(folder) if files is None else LocalStorage(folder, files))
    return walk, store.checkpoints("run", {"walk": walk}, every=Every(steps=2), keep=Keep(last=2))


def outcome(walk: Walk, run: Checkpoints) -> tuple[bytes, list[int], bytes]:
    steps, losses = run.log["loss"]
    return walk.place.tobytes(), steps.tolist(), losses.tobytes()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, list[int], bytes]:
    walk, run = begin(tmp_path_factory.mktemp("undisturbed") / "models")
    with run:
        for step in range(run.resume(), STEPS):
            run.step(step, loss=walk.train())
    return outcome(walk, run)


def train_on(
    walk: Walk, run: Checkpoints, first: int = 0, disturb: Callable[[int], None] | None = None
) -> int:
    """Train to the end, whatever happens, each save before the next step; the number of errors."""
    errors = 0
    for step in range(first, STEPS):
        if disturb is not None:
            disturb(step)
        loss = walk.train()
        try:
            run.step(step, loss=loss)
        except saver.SaverError:
            errors += 1
        run._saving.writer.wait()
    return errors


FAULTS = [errno.ENOSPC, errno.EIO, errno.EACCES, errno.EROFS]


@pytest.mark.parametrize("number", FAULTS, ids=[errno.errorcode[number] for number in FAULTS])
def test_a_disk_that_fails_once_is_reported_and_costs_one_version_at_most(
    number: int, tmp_path: Path, undisturbed: Any
) -> None:
    """At any call of the first saves. The same run goes on, and so does one that begins where it is."""
    counting = FaultyFiles()
    walk, run = begin(tmp_path / "counted", counting)
    with run:
        train_on(walk, run)
    told = 0
    for at in range(1, len(counting.calls) // 2, 17):
        folder = tmp_path / f"models-{at}"
        files = FaultyFiles()
        walk, run = begin(folder, files)
        files.fail(at, number)
        with run:
            errors = train_on(walk, run)
            try:
                run.flush()
            except saver.SaverError:
                errors += 1
        assert outcome(walk, run) == undisturbed
        assert files.struck
        told += errors
        versions = saver.Saver(folder).versions("run")
        assert versions[-1].step == STEPS - 1
        assert saver.Saver(folder).check().sound
        walk, run = begin(folder)
        with run:
            assert run.resume() == STEPS
        assert outcome(walk, run) == undisturbed
    assert told > 5


def test_a_full_disk_keeps_the_last_good_version_and_says_so_until_there_is_room(
    tmp_path: Path, undisturbed: Any
) -> None:
    files = Full()
    walk, run = begin(tmp_path / "models", files)
    with run:
        for step in range(run.resume(), STEPS):
            if step == 4:
                run.flush()
            files.full = 4 <= step < 8
            loss = walk.train()
            if step in (6, 8):  # the next steps after the saves of 5 and 7
                with pytest.raises(saver.CannotWriteError, match="No space left on device"):
                    run.step(step, loss=loss)
            else:
                run.step(step, loss=loss)
            if step in (5, 7):
                run._saving.writer.wait()
                assert [version.step for version in saver.Saver(tmp_path / "models").versions("run")] == [
                    1,
                    3,
                ]
    assert outcome(walk, run) == undisturbed
    assert [version.step for version in saver.Saver(tmp_path / "models").versions("run")] == [9, 11]
    walk, run = begin(tmp_path / "models")
    with run:
        assert run.resume() == STEPS


class Full(FaultyFiles):
    """A disk on which there is room for nothing while it is `full`."""

    full = False

    def _run(self, what: str, action: Callable[[], Any], forget: Any = None) -> Any:
        if self.full and what.startswith(("reserve", "write", "make_folder")):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super()._run(what, action, forget)


def test_a_run_that_ends_with_an_error_resumes_from_the_last_good_version(
    tmp_path: Path, undisturbed: Any
) -> None:
    """Told where it ends: at the flush, and at the end of `with`."""
    files = Full()
    walk, run = begin(tmp_path / "models", files)

    def fill_up_at(full: int) -> None:
        for step in range(run.resume(), full + 2):
            if step == full:
                run.flush()
                files.full = True
            run.step(step, loss=walk.train())

    with pytest.raises(saver.CannotWriteError, match="No space left"), run:
        fill_up_at(4)
    files.full = False
    walk, run = begin(tmp_path / "models", files)
    with run:
        fill_up_at(6)
        with pytest.raises(saver.CannotWriteError, match="No space left"):
            run.flush()
        files.full = False
        assert train_on(walk, run, 8) == 0
    assert outcome(walk, run) == undisturbed


@pytest.mark.parametrize("how", ["moved", "deleted", "unmounted", "exchanged"])
def test_a_store_that_is_gone_is_never_begun_anew(how: str, tmp_path: Path, undisturbed: Any) -> None:
    """What was saved then would have no past, and what was saved before would have a gap."""
    folder, away = tmp_path / "models", tmp_path / "away"
    saver.Saver(tmp_path / "other").save("other", np.zeros(100))
    there: list[list[int | None]] = []

    def disturb(step: int) -> None:
        if step == 5:
            run.flush()
            there.append([version.step for version in saver.Saver(folder).versions("run")])
            folder.rename(away)
            if how == "unmounted":  # the folder on which it was mounted
                folder.mkdir()
            elif how == "exchanged":
                (tmp_path / "other").rename(folder)
        elif step == 9 and how != "deleted":
            if folder.exists():
                there.append([path.name for path in folder.iterdir()])  # type: ignore[misc]
                shutil.rmtree(folder)
            away.rename(folder)

    walk, run = begin(folder)
    if how == "deleted":
        with pytest.raises(saver.CannotWriteError, match="no longer exists"), run:
            assert train_on(walk, run, run.resume(), disturb) >= 2
        assert not folder.exists()
        return
    with run:
        errors = train_on(walk, run, run.resume(), disturb)
    assert errors == 2, "those of the saves of 5 and 7"
    assert outcome(walk, run) == undisturbed
    assert there[0] == [1, 3]
    if how == "unmounted":
        assert there[1] == []
    store = saver.Saver(folder)
    assert [version.step for version in store.versions("run")] == [9, 11]
    assert store.check().sound


def test_a_folder_of_a_store_is_made_once(tmp_path: Path) -> None:
    """Also when it goes between two writes of a commit."""
    store = LocalStorage(tmp_path / "models")
    store.create("store.json", b"{}")
    shutil.rmtree(tmp_path / "models")
    with pytest.raises(saver.CannotWriteError, match="No such file"):
        store.create("log/1.json", b"{}")
    assert not (tmp_path / "models").exists()


# What is saved of whom


def test_what_has_no_data_form_is_saved_by_its_state(tmp_path: Path) -> None:
    """An average of weights holds a function; it is restored into one that has it."""
    torch = pytest.importorskip("torch")
    swa = torch.optim.swa_utils

    def begin() -> tuple[Any, Any, Any]:
        torch.manual_seed(1)
        net = torch.nn.Linear(4, 4)
        net.scale = lambda found: 2 * found
        average = swa.AveragedModel(net, multi_avg_fn=swa.get_ema_multi_avg_fn(0.5))
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: 0.9**epoch)
        objects = {"net": net, "average": average, "optimizer": optimizer, "schedule": schedule}
        return net, average, saver.Saver(tmp_path).checkpoints("run", objects, every=Every(steps=1))

    def go_on(net: Any, average: Any, run: Any, until: int) -> None:
        optimizer, schedule = run.objects.live["optimizer"], run.objects.live["schedule"]
        for step in range(run.resume(), until):
            optimizer.zero_grad()
            net.scale(net(torch.randn(3, 4))).sum().backward()
            optimizer.step()
            schedule.step()
            average.update_parameters(net)
            run.step(step)

    for until in (2, 5):
        net, average, run = begin()
        with run:
            go_on(net, average, run, until)
    whole_net, whole_average, whole = begin()
    whole.model = "whole"
    with whole:
        go_on(whole_net, whole_average, whole, 5)
    for ours, theirs in ((net, whole_net), (average, whole_average)):
        assert ours.state_dict().keys() == theirs.state_dict().keys()
        assert all(torch.equal(ours.state_dict()[name], value) for name, value in theirs.state_dict().items())


def test_a_run_may_be_saved_before_its_first_step(tmp_path: Path) -> None:
    for _ in range(2):
        _, run = begin(tmp_path / "models")
        with run:
            assert run.resume() == 0
            run.save()
            run.flush()
    assert [version.step for version in saver.Saver(tmp_path / "models").versions("run")] == [None, None]


def test_a_best_value_that_could_not_be_saved_is_saved_with_the_next_step_as_good(tmp_path: Path) -> None:
    files = Full()
    store = saver.Saver(LocalStorage(tmp_path / "models", files))
    run = store.checkpoints("run", {"walk": Walk()}, every=Every(improvement="loss"))
    with run:
        run.step(0, loss=3.0)
        run.flush()
        files.full = True
        run.step(1, loss=1.0)
        with pytest.raises(saver.CannotWriteError):
            run.flush()
        files.full = False
        assert run.step(2, loss=2.0), "better than all that is on disk"


def test_a_save_that_was_given_up_and_never_taken_again_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """The memory is slow here: weights change while they are copied, and no step follows."""
    torch = pytest.importorskip("torch")
    from saver import staging

    copy, changed = staging._copy, threading.Event()

    def slow_copy(*arguments: Any) -> Callable[[], None]:
        work = copy(*arguments)

        def wait() -> None:
            if threading.current_thread() is not threading.main_thread():
                changed.wait()
            work()

        return wait

    monkeypatch.setattr(staging, "_copy", slow_copy)
    net = torch.nn.Linear(2000, 1000)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    store = saver.Saver("memory://given-up")

    def begin() -> Any:
        return store.checkpoints("run", {"net": net, "optimizer": optimizer}, every=Every(steps=1))

    def change() -> None:
        with torch.no_grad():
            net.weight += 1
        changed.set()

    def end_in_the_middle() -> None:
        with begin() as run:
            run.step(0)
            change()

    with pytest.raises(saver.CannotSaveError, match="to be taken again, because net/weight changed"):
        end_in_the_middle()
    assert not store.exists()
    changed.clear()
    with begin() as run:
        run.step(1)
        change()
        with pytest.raises(saver.CannotSaveError, match="given up"):
            run.flush()
        assert run.step(2), "it is taken again"
        run.flush()
        changed.clear()
        threading.Timer(0.2, changed.set).start()  # for the threads that copy the rest
        assert run.step(3)
        with torch.no_grad():
            net.weight += 1
        run.flush()  # what changed once is copied at once
    assert [version.step for version in store.versions("run")] == [2, 3]


# A thousand saves


@pytest.mark.skipif(
    not os.path.isdir("/proc/self/fd"), reason="the system does not tell what a process holds"
)
def test_a_thousand_saves_hold_memory_threads_and_files_flat(tmp_path: Path) -> None:
    """In a process of its own: the threads of other tests end when they like."""
    command = [sys.executable, Path(__file__).with_name("thousand.py"), tmp_path / "models"]
    held = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, timeout=300).stdout)
    memory, threads, files = zip(*held[1:-1], strict=True)
    assert len(set(threads)) == 1
    assert len(set(files)) == 1
    assert memory[-1] - memory[2] < 8 << 20, [count >> 20 for count in memory]
    assert held[-1][1:] == held[0][1:], "no thread and no file descriptor is left behind"
    assert len(saver.Saver(tmp_path / "models").versions("run")) == 3
