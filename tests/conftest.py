from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Generator
from itertools import count
from typing import Any

# Tests run in one process for each processor; threads within them would only wait for each other.
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

import pytest
from hypothesis import HealthCheck, settings

import frameworks_table
import saver
from saver.opening import open_file

# A test must not fail because a machine is slow: nothing is asked of the time that an example takes. Nor may
# it fail by chance, after some other change: Hypothesis tries the same examples every time. `make explore`
# tries new ones.
settings.register_profile("explore", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("same", settings.get_profile("explore"), derandomize=True)
settings.load_profile("same")


@pytest.fixture(scope="session")
def roundtrip(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """Saves an object to a file and loads it again."""
    path = tmp_path_factory.mktemp("roundtrip") / "roundtrip.saver"

    def run(obj: Any, **options: Any) -> Any:
        saver.dump(obj, path)
        return saver.load(path, **options)

    return run


@pytest.fixture(scope="session")
def save(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Any], Any]:
    """Saves an object to a file of its own and opens that."""
    folder, numbers = tmp_path_factory.mktemp("saved"), count()

    def run(obj: Any) -> Any:
        path = folder / f"{next(numbers)}.saver"
        saver.dump(obj, path)
        return open_file(path)

    return run


@pytest.fixture(autouse=True)
def _no_configuration(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The trust policy, the cache, the key and the heads of the user who runs the tests stay out of them."""
    monkeypatch.setenv("SAVER_CONFIG", str(tmp_path_factory.getbasetemp() / "no-config.toml"))
    monkeypatch.setenv("SAVER_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.setenv("SAVER_HEADS", str(tmp_path_factory.getbasetemp() / "heads"))
    for variable in ("SAVER_SIGN_KEY", "SAVER_TRUST_FILE"):
        monkeypatch.delenv(variable, raising=False)


_FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    item.stash[_FAILED] = item.stash.get(_FAILED, False) or report.failed
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, None, None]:
    """Removes what a test wrote to `tmp_path`, unless it failed: all tests together write over 11 GB. The
    `tmp_path_retention_policy` of pytest does so before `monkeypatch` has put the functions of `os` back."""
    yield
    folder = getattr(item, "funcargs", {}).get("tmp_path")
    if folder is not None and not item.stash[_FAILED]:
        shutil.rmtree(folder, ignore_errors=True)


SLOW = {"faults", "stateful"}
"""Folders in which every test takes long: real faults, and machines of many steps."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int | None:
    """For `-n auto`: one process more than there are processors, since many tests wait for other processes,
    servers and disks. On two cores a sample of all tests took 0.82 of its time with two processes."""
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None  # as pytest-xdist does
    affinity = getattr(os, "sched_getaffinity", None)
    return 1 + (len(affinity(0)) if affinity else os.cpu_count() or 1)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--frameworks-table", action="store_true", help="write the README's table of frameworks from this run"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Marks the tests in them as slow, and lets long tests take as long as they do. Of those without a group,
    the processes of pytest-xdist begin with the slow ones: none is left to one of them in the end."""
    frameworks_table.mark(items)
    for item in items:
        if item.path.parent.name in SLOW:
            item.add_marker(pytest.mark.slow)
        if item.get_closest_marker("long"):
            item.add_marker(pytest.mark.timeout(0))
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.hookimpl(specname="pytest_collection_modifyitems", trylast=True)
def pytest_keep_groups_together(items: list[pytest.Item]) -> None:
    """Gives each test the name that pytest-xdist chose for it, which ends with its group (`xdist_group`).
    pytest 9.2 calls it by another name than the one that pytest-xdist 3.8 sets; without this, each process
    would start the servers, and import the frameworks, of all groups."""
    for item in items:
        chosen = getattr(item, "_nodeid", item.nodeid)
        if chosen != item.nodeid:
            item._id = type(item._id).parse(chosen)  # type: ignore[attr-defined]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    frameworks_table.finish(terminalreporter)
    _tell(terminalreporter, "real faults", "tests/faults/")
    _tell(terminalreporter, "buckets", "tests/storages/test_buckets.py")


def _tell(terminalreporter: pytest.TerminalReporter, what: str, where: str) -> None:
    """Of the tests with real faults, and of those with real servers: how many ran, how many calls failed in
    them, and why others did not run. It stands here, for where tests run in several processes, folders below
    are unknown to the one that tells."""
    stats = terminalreporter.stats
    mine = [
        report
        for kind in ("passed", "failed", "skipped")
        for report in stats.get(kind, ())
        if where in report.nodeid.replace(os.sep, "/")
    ]
    if not mine:
        return
    ran = sum(not report.skipped for report in mine)
    faults: Counter[str] = Counter()
    for report in mine:
        for name, number in getattr(report, "user_properties", ()):  # whole modules have none
            if name.startswith("faults "):
                faults[name.removeprefix("faults ")] += number
    skipped = (report.longrepr[2].removeprefix("Skipped: ") for report in mine if report.skipped)
    reasons = Counter(" ".join(reason.split()) for reason in skipped)
    line = f"{what}: {ran} tests ran, {sum(reasons.values())} skipped"
    line += "".join(f"; {number} for {reason}" for reason, number in sorted(reasons.items()))
    terminalreporter.write_line(line)
    if faults:
        terminalreporter.write_line(f"{what}: {faults.total()} calls were made to fail, kill or interrupt")
    if faults and terminalreporter.config.get_verbosity() > 0:
        for name, number in sorted(faults.items()):
            terminalreporter.write_line(f"    {name:24} {number}")
