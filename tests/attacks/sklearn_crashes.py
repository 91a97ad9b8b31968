"""Looks for fitted state that `check` accepts and that ends the process, or hangs it, when it is used.

    python tests/attacks/sklearn_crashes.py --seconds 300            everything, for five minutes
    python tests/attacks/sklearn_crashes.py --only SVC --unchecked   what `check` is there for

Every estimator is fitted, one attribute at a time (`--pairs`: two) is changed in it or in what it holds,
`check` is asked, and what it accepts is used by all its methods, in a child process. The child says what it
is about to do before it does it, so that a signal, an exit or a hang has one change to its name. Where a C
compiler is there, every array of NumPy ends where an unreadable page begins: reading on is a crash, too.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import pickle
import random
import resource
import select
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "2")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("JOBLIB_MULTIPROCESSING", "0")  # no processes, whatever n_jobs says

import numpy as np
import scipy.sparse
from sklearn.base import BaseEstimator

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

from sklearn_models import Case, cases  # noqa: E402

from saver.families.sklearn.checks import check, claim  # noqa: E402

METHODS = (
    "predict", "predict_proba", "predict_log_proba", "decision_function", "transform", "inverse_transform",
    "score_samples", "kneighbors", "kneighbors_graph", "radius_neighbors", "radius_neighbors_graph", "apply",
    "decision_path", "staged_predict", "staged_decision_function", "staged_predict_proba", "predict_joint",
    "partial_fit", "sample", "dbscan_clustering", "get_feature_names_out", "get_params", "repr", "copy",
    "clone", "feature_importances_", "coef_", "fit",
)  # fmt: skip
HELD_BY_CODECS = ("Tree", "TreePredictor", "_CFNode", "_CFSubcluster", "KDTree", "BallTree")
INTEGERS = (0, -1, 1, 7, 2**31 - 1, 2**31, 2**62, -(2**63), 200_000)
FLOATS = (float("nan"), float("inf"), -1.0, 0.0, 1e308)
TEXTS = ("", "zero", "precomputed", "brute", "kd_tree", "linear", "one_class", "__class__.__mro__", "predict")
MEMORY = 4 << 30
Change = tuple[tuple[Any, ...], str, Callable[[Any], Any]]


# --- changes ------------------------------------------------------------------------------------------------


def sites(value: Any, path: tuple[Any, ...] = (), seen: set[int] | None = None) -> Iterator[tuple[Any, ...]]:
    """The path of every attribute and element worth changing: `("a", "estimators_"), ("i", 0)`."""
    seen = set() if seen is None else seen
    if len(path) > 7 or id(value) in seen:
        return
    if type(value).__name__ in HELD_BY_CODECS:
        return
    steps: list[tuple[str, Any]] = []
    of_sklearn = type(value).__module__.startswith("sklearn.") and hasattr(value, "__dict__")
    if of_sklearn or isinstance(value, BaseEstimator):
        seen.add(id(value))
        steps = [("a", name) for name in vars(value)]
    elif type(value) is list or (type(value) is np.ndarray and value.dtype == object and value.ndim < 3):
        flat = value if type(value) is list else value.ravel()
        steps = [("i", index) for index in sorted({0, len(flat) - 1}) if len(flat)]
    elif type(value) is dict:
        steps = [("k", key) for key in list(value)[:2]]
    elif type(value) is tuple:
        steps = [("i", index) for index in range(min(len(value), 3))]
    for step in steps:
        yield (*path, step)
        yield from sites(held(value, step), (*path, step), seen)


def held(value: Any, step: tuple[str, Any]) -> Any:
    kind, name = step
    if kind == "a":
        return vars(value)[name]
    return value.flat[name] if kind == "i" and isinstance(value, np.ndarray) else value[name]


def at(value: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        value = held(value, step)
    return value


def put(root: Any, path: tuple[Any, ...], new: Any) -> None:
    """Change what is at `path`; a tuple on the way becomes another."""
    *before, last = path
    target = at(root, tuple(before))
    kind, name = last
    if kind == "a":
        vars(target)[name] = new
    elif type(target) is tuple:
        put(root, tuple(before), (*target[:name], new, *target[name + 1 :]))
    elif isinstance(target, np.ndarray):
        target.flat[name] = new
    else:
        target[name] = new


def changes_of(value: Any, others: list[Any]) -> Iterator[tuple[str, Callable[[Any], Any]]]:
    """What to make of a value, each with a name."""
    kind = type(value)
    yield from ((f"={other!r}", lambda _, o=other: o) for other in (None, 3, "x", {}))
    yield "=[]", lambda _: []
    if kind is bool:
        yield "not", lambda old: not old
    elif kind is int or isinstance(value, np.integer):
        yield from ((f"={n}", lambda _, n=n: n) for n in INTEGERS)
        yield from (("+1", lambda old: old + 1), ("-1", lambda old: old - 1))
    elif kind is float or isinstance(value, np.floating):
        yield from ((f"={x}", lambda _, x=x: x) for x in FLOATS)
    elif kind is str:
        yield from ((f"={text!r}", lambda _, t=text: t) for text in TEXTS)
    elif kind is np.ndarray:
        yield from _of_array(value)
    elif scipy.sparse.issparse(value):
        yield from _of_sparse(value)
    elif kind in (list, tuple):
        yield from (
            ("empty", lambda old: type(old)()),
            ("shorter", lambda old: old[:-1]),
            ("longer", lambda old: old + old[-1:]),
            ("doubled", lambda old: old * 2),
            ("backwards", lambda old: old[::-1]),
        )
    elif kind is dict:
        yield "shifted", lambda old: {k: v + 10_000 if type(v) is int else v for k, v in old.items()}
        yield "negative", lambda old: {k: -9 - v if type(v) is int else v for k, v in old.items()}
        yield "first gone", lambda old: dict(list(old.items())[1:])
    else:
        yield "=array", lambda _: np.zeros((2, 2))
    swapped = isinstance(value, BaseEstimator) or "loss" in kind.__module__
    if swapped or kind.__name__ in HELD_BY_CODECS or value is None:
        for number, other in enumerate(others):
            yield f"=other {type(other).__name__} {number}", lambda _, o=other: pickle.loads(pickle.dumps(o))


def _of_array(value: np.ndarray[Any, Any]) -> Iterator[tuple[str, Callable[[Any], Any]]]:
    yield "empty", lambda a: a[:0].copy() if a.ndim else np.empty(0, a.dtype)
    yield "0-d", lambda a: np.zeros((), a.dtype)
    for name in ("int8", "int32", "int64", "float32", "float64", "complex128", "object", "bool"):
        if value.dtype.names is None and value.dtype.kind != "U":
            yield f"as {name}", lambda a, d=name: a.astype(d)
    if value.ndim:
        yield "fewer rows", lambda a: a[:-1].copy()
        yield "one row", lambda a: a[:1].copy()
        yield "more rows", lambda a: np.concatenate([a, a])
        yield "strided", lambda a: np.repeat(a, 2, 0)[::2]
        yield "backwards", lambda a: a[::-1]
        yield "flat", lambda a: a.ravel()
        yield "an axis more", lambda a: a[None]
        yield "repeated", lambda a: np.broadcast_to(a[:1], a.shape)
        yield "masked", lambda a: np.ma.masked_array(a, mask=False)
    if value.ndim > 1:
        yield "fewer columns", lambda a: a[:, :-1].copy()
        yield "one column", lambda a: a[:, :1].copy()
        yield "more columns", lambda a: np.concatenate([a, a], 1)
        yield "no columns", lambda a: a[:, :0].copy()
        yield "transposed", lambda a: a.T
        yield "transposed, copied", lambda a: np.ascontiguousarray(a.T)
        yield "Fortran", lambda a: np.asfortranarray(a)
        yield "sparse", lambda a: scipy.sparse.csr_matrix(a)
    if value.dtype.kind in "iuf":
        for number in (-1, 1, 5, 100_000, 2**31 - 1, -(2**31)):
            yield f"all {number}", lambda a, n=number: np.full_like(a, n)
            yield f"first {number}", lambda a, n=number: _with_first(a, n)
    if value.dtype.kind == "f":
        yield from ((f"all {x}", lambda a, x=x: np.full_like(a, x)) for x in FLOATS)
    if value.dtype.names:
        for name in value.dtype.names:
            for number in (-1, 100_000):
                yield f"{name} {number}", lambda a, f=name, n=number: _with_field(a, f, n)


def _with_first(array: Any, number: Any) -> Any:
    new = array.copy()
    if new.size:
        new.flat[0] = number
    return new


def _with_field(array: Any, name: str, number: Any) -> Any:
    new = array.copy()
    new[name][-1] = number
    return new


def _of_sparse(value: Any) -> Iterator[tuple[str, Callable[[Any], Any]]]:
    yield "dense", lambda a: a.toarray()
    yield "emptied", lambda a: type(a)(a.shape, dtype=a.dtype)
    yield "fewer rows", lambda a: a.tocsr()[:-1]
    yield "fewer columns", lambda a: a.tocsr()[:, :-1]
    yield "csc", lambda a: a.tocsc()
    yield "coo", lambda a: a.tocoo()
    yield "transposed", lambda a: a.T
    yield "float32", lambda a: a.astype(np.float32)
    yield "wide indices", _wide


def _wide(matrix: Any) -> Any:
    new = matrix.tocsr().copy()
    new.indices, new.indptr = new.indices.astype(np.int64), new.indptr.astype(np.int64)
    return new


def changes(model: Any, others: list[Any]) -> list[Change]:
    return [
        (path, label, change)
        for path in sites(model)
        if path[-1] != ("a", "n_jobs")
        for label, change in changes_of(at(model, path), others)
    ]


# --- use ----------------------------------------------------------------------------------------------------


class Slow(Exception):
    """A method runs long, in Python, where it can be stopped."""


def _stop(*_: Any) -> None:
    raise Slow


def check_all(value: Any, seen: set[int]) -> None:
    """`check`, for every estimator in `value`, as loading does."""
    if id(value) in seen or type(value).__name__ in HELD_BY_CODECS:
        return
    seen.add(id(value))
    if type(value) in (list, tuple):
        inner: Any = value
    elif isinstance(value, dict):
        inner = value.values()
    elif isinstance(value, np.ndarray):
        inner = value.ravel().tolist() if value.dtype == object else ()
    else:
        holds = type(value).__module__.startswith("sklearn.") and hasattr(value, "__dict__")
        inner = vars(value).values() if holds or isinstance(value, BaseEstimator) else ()
    for item in list(inner):
        check_all(item, seen)
    if isinstance(value, BaseEstimator):
        claim(value)
        check(value)


def use(model: Any, method: str, case: Case, data: Any) -> None:
    """Call a method as users do, and look at all of its answer."""
    import copy

    from sklearn.base import clone

    if method == "repr":
        repr(model)
    elif method == "copy":
        copy.deepcopy(model)
    elif method == "clone":
        clone(model)
    elif method in ("get_params", "get_feature_names_out", "feature_importances_", "coef_", "sample"):
        found = getattr(model, method)
        answer(found() if callable(found) else found)
    elif method == "dbscan_clustering":
        answer(model.dbscan_clustering(0.5))
    elif method in ("fit", "partial_fit"):
        target = () if case.target is None else (case.target,)
        getattr(model, method)(data, *target)
    elif method == "inverse_transform":
        answer(model.inverse_transform(case.transformed))
    else:
        answer(getattr(model, method)(data))


def answer(found: Any) -> None:
    if hasattr(found, "__next__") or type(found) in (list, tuple):
        for item in found:
            answer(item)
    elif scipy.sparse.issparse(found):
        found.tocsc()
        if found.shape[0] * found.shape[1] < 1_000_000:
            found.toarray()
    elif isinstance(found, np.ndarray) and found.dtype.kind in "fc":
        np.sum(found)


def calls_of(case: Case) -> list[tuple[str, Any]]:
    """The calls that an honest model answers within a tenth of a second."""
    found = []
    inputs = [case.features, *([scipy.sparse.csr_matrix(case.features)] if case.sparse else [])]
    for data in inputs:
        for method in METHODS:
            if data is not case.features and method in ("repr", "copy", "clone", "get_params", "sample"):
                continue
            model = pickle.loads(case.blob)
            began = time.monotonic()
            with suppress(Exception):
                if method in ("repr", "copy", "clone") or hasattr(model, method):
                    if method == "transform":
                        case.transformed = model.transform(data)
                    use(model, method, case, data)
                    if time.monotonic() - began < 0.1:
                        found.append((method, data))
    return found


def child(case: Case, todo: list[tuple[Change, ...]], pipe: int, checked: bool, guard: str | None) -> None:
    """Try the changes in turn; say each before it is tried."""
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    if guard:
        sys.path.append(guard)
        importlib.import_module("guardalloc").install()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGALRM, _stop)
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    calls = calls_of(case)
    warm = vars(pickle.loads(case.blob)).get("warm_start") is True
    for number, steps in enumerate(todo):
        os.write(pipe, f"{number} check\n".encode())
        state = "run"
        try:
            model = pickle.loads(case.blob)
            for path, _, change in steps:
                put(model, path, change(at(model, path)))
        except Exception:
            continue
        if checked:
            try:
                check_all(model, set())
            except ValueError:
                state = "refused"
            except BaseException as error:
                os.write(pipe, f"{number} failed {type(error).__name__} {str(error)[:60]!r}\n".encode())
                state = "refused"
        os.write(pipe, f"{number} {state}\n".encode())
        if state == "refused":
            continue
        for method, data in calls:
            if method == "fit" and not warm and all(path[0][1].endswith("_") for path, _, _ in steps):
                continue  # fits anew
            os.write(pipe, f"{number} {method}\n".encode())
            with suppress(Slow), suppress(Exception, SystemExit):
                signal.setitimer(signal.ITIMER_REAL, 0.5)
                try:
                    use(model, method, case, data)
                finally:
                    signal.setitimer(signal.ITIMER_REAL, 0)
    os.write(pipe, b"-1 done\n")
    os._exit(0)


# --- the parent ---------------------------------------------------------------------------------------------


def attempt(
    case: Case,
    todo: list[tuple[Change, ...]],
    checked: bool,
    guard: str | None,
    patience: float,
    until: float,
) -> tuple[int, str, str, dict[str, int]]:
    """Run a child: how far it came, what it was doing, how it ended, and how many were refused and run."""
    reader, writer = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(reader)
        with suppress(BaseException):
            child(case, todo, writer, checked, guard)
        os._exit(77)
    os.close(writer)
    number, doing, rest, counts, ended = -1, "starts", b"", {"refused": 0, "run": 0}, ""
    while True:
        ready, _, _ = select.select([reader], [], [], 90 if number < 0 else patience)
        if not ready or time.monotonic() > until:
            ended = "hang" if not ready else "time is up"
            os.kill(process, signal.SIGKILL)
            break
        got = os.read(reader, 1 << 16)
        if not got:
            break
        *lines, rest = (rest + got).split(b"\n")
        for line in lines:
            at_text, doing = line.decode().split(" ", 1)
            if doing.startswith("failed"):
                report(case, todo[int(at_text)], "check", doing)
            number = int(at_text) if doing != "done" else len(todo)
            if doing in counts:
                counts[doing] += 1
    os.close(reader)
    _, status = os.waitpid(process, 0)
    if not ended and doing != "done":
        killed = os.WIFSIGNALED(status)
        ended = signal.Signals(os.WTERMSIG(status)).name if killed else f"exit {os.WEXITSTATUS(status)}"
    return number, doing, ended, counts


def report(case: Case, steps: tuple[Change, ...], doing: str, ended: str) -> None:
    places = ["".join(f"[{n!r}]" if k != "a" else f".{n}" for k, n in path) for path, _, _ in steps]
    where = " + ".join(f"{place} {label}" for place, (_, label, _) in zip(places, steps, strict=True))
    print(json.dumps({"case": case.name, "change": where, "method": doing, "end": ended}), flush=True)


def search(case: Case, options: argparse.Namespace, guard: str | None, until: float) -> dict[str, int]:
    """Report every change of the case that ends or hangs its process."""
    shuffled = random.Random(options.seed)
    known = changes(pickle.loads(case.blob), case.others)
    todo: list[tuple[Change, ...]] = [(change,) for change in known]
    shuffled.shuffle(todo)
    del todo[options.most :]
    todo += [(shuffled.choice(known), shuffled.choice(known)) for _ in range(options.pairs if known else 0)]
    total = {"changes": 0, "refused": 0, "run": 0, "found": 0}
    checked, patience = not options.unchecked, options.patience
    while todo and time.monotonic() < until:
        number, doing, ended, counts = attempt(case, todo, checked, guard, patience, until)
        total = {**total, **{key: total[key] + count for key, count in counts.items()}}
        total["changes"] += min(number + 1, len(todo))
        if ended and ended != "time is up":
            if number < 0:
                print(json.dumps({"case": case.name, "end": f"cannot start: {ended}"}), flush=True)
                break
            report(case, todo[number], doing, ended)
            total["found"] += 1
        todo = todo[number + 1 :]
    return total


def guarded(folder: str) -> str | None:
    """The folder of an extension that puts a wall behind every array; None without a compiler."""
    source = Path(__file__).parent / "guardalloc.c"
    command = ["cc", "-O1", "-shared", "-fPIC", f"-I{sysconfig.get_path('include')}", f"-I{np.get_include()}"]
    with suppress(OSError, subprocess.CalledProcessError):
        subprocess.run(
            [*command, str(source), "-o", f"{folder}/guardalloc.so"], check=True, capture_output=True
        )
        return folder
    return None


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", help="names of cases, separated by commas")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--most", type=int, default=100_000, help="changes of one case at most")
    parser.add_argument("--pairs", type=int, default=0, help="pairs of changes of one case")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--share", default="0/1", help="2/3: the third third of the cases")
    parser.add_argument("--patience", type=float, default=10, help="seconds until a method hangs")
    parser.add_argument("--unchecked", action="store_true", help="do not ask check")
    options = parser.parse_args()
    until = time.monotonic() + options.seconds
    first, step = map(int, options.share.split("/"))
    wanted = set(options.only.split(",")) - {""}
    warnings.simplefilter("ignore")
    total: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as folder:
        guard = guarded(folder)
        for case in list(cases(wanted))[first::step]:
            if time.monotonic() > until:
                print(f"# no time for {case.name}")
                continue
            for key, count in search(case, options, guard, until).items():
                total[key] = total.get(key, 0) + count
            print(f"# {case.name}: {total}", flush=True)
    print(f"# guard: {guard is not None}; {total}")
    return 1 if total.get("found") else 0


if __name__ == "__main__":
    sys.exit(main())
