"""The goals of Saver, and whether it reached them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median

from benchmarks import (
    distributed,
    large,
    loops,
    models,
    ranks,
    rewriting,
    scale,
    servers,
    serving,
    startup,
    versions,
)
from benchmarks.memory import Peak
from benchmarks.peers import BASELINE, OURS
from benchmarks.states import MANY, ONE, TENSORS
from benchmarks.tables import Table, ratio

HASHING = large.HASH_LIMIT.removeprefix("limit: ")
Tables = Mapping[str, Table]


@dataclass(frozen=True, slots=True)
class Target:
    """A goal; `measure` computes the figure from the tables, by their names."""

    what: str
    needs: tuple[str, ...]
    bound: float
    measure: Callable[[Tables], float | None]
    unit: str = "times"
    at_least: bool = True

    def verdict(self, tables: Tables) -> tuple[str, str, str, str] | None:
        """Goal, bound, figure, and pass or by how much it falls short; None if it was not measured."""
        if not all(name in tables and _measured(tables[name]) for name in self.needs):
            return None
        figure = self.measure(tables)
        if figure is None:
            return None
        good = figure >= self.bound if self.at_least else figure <= self.bound
        off = f" by {abs(figure - self.bound) / self.bound:.0%}" if self.bound else ""
        sign = "≥" if self.at_least else "≤"
        bound = f"{sign} {self.bound:g} {self.unit}"
        return self.what, bound, f"{figure:.2f} {self.unit}", "pass" if good else f"short{off}"


def _measured(table: Table) -> bool:
    return all(row.seconds for row in table.rows if row.what in (OURS, models.OURS))


def _targets() -> list[Target]:
    targets = []
    for shape in (TENSORS, MANY, ONE):
        save, cold, warm = (f"{shape.name}-{kind}" for kind in ("save", "cold", "warm"))
        targets += [
            Target(f"{shape.title}: save, of raw direct writes", (save,), 0.9, _of_limit(save)),
            Target(f"{shape.title}: save, against {BASELINE}", (save,), 2, _faster(save, OURS, BASELINE)),
            Target(f"{shape.title}: verified cold load, of raw reads", (cold,), 0.9, _of_limit(cold)),
            Target(f"{shape.title}: verified warm load, of {HASHING}", (warm,), 0.8, _of_limit(warm)),
        ]  # fmt: skip
    for kind in ("dump", "load"):
        name = f"forest of 100 trees-{kind}"
        for other, bound in ((models.BASELINE, 1), ("skops", 5)):
            measure = _faster(name, models.OURS, other)
            targets.append(Target(f"forest of 100 trees: {kind}, against {other}", (name,), bound, measure))
    targets += [
        Target("`import saver` beyond `import numpy`", ("startup",), 60, _beyond, "ms", at_least=False),
        Target("`saver --help`", ("startup",), 170, _taken(startup.HELP), "ms", at_least=False),
        Target("`saver show`", ("startup",), 130, _taken(startup.SHOW), "ms", at_least=False),
    ]
    return targets + _of_stores() + _of_rewriting() + _of_checkpoints() + _of_ranks() + _of_serving()


def _of_stores() -> list[Target]:
    """The allowed cost of versions, and how much more if there are many."""
    nothing, head, rows = (f"versions-{name}" for name in ("nothing", "head", "rows"))
    found = [
        Target("nothing changed: tensor bytes added", (nothing,), 0, _packed, "bytes", at_least=False),
        Target("the head changed: bytes beyond it", (head,), 1, _beyond_change(head), "%", at_least=False),
        Target("rows changed: bytes beyond a block", (rows,), 1, _beyond_change(rows), "%", at_least=False),
    ]
    for what in (scale.MUCH, scale.MUCH_OF_MANY):
        for doing, name, bound in (("open + latest", "scale-open", 2), ("save", "scale-save", 1.5)):
            title = f"{what}: {doing}, against {scale.TEN}"
            found.append(Target(title, (name,), bound, _slower(name, what, scale.TEN), at_least=False))
    for doing, bound in (("open", 2), ("load", 2), ("save", 1.5), ("tag", 1.5), ("versions", 2)):
        name = f"scale-log-{doing}"
        title = f"{scale.LONG}: {scale.DOINGS[doing][0]}, against {scale.SHORT}"
        found.append(Target(title, (name,), bound, _slower(name, scale.LONG, scale.SHORT), at_least=False))
    for doing in ("save", "load"):
        name = f"scale-tensors-{doing}"
        title = f"{scale.MANY_TENSORS}: {doing} of each, against {scale.FEW_TENSORS}"
        measure = _slower(name, scale.MANY_TENSORS, scale.FEW_TENSORS)
        found.append(Target(title, (name,), 3, measure, at_least=False))
    return found


def _of_rewriting() -> list[Target]:
    """How long it takes to save over a file, and to load one and train on."""
    over = _slower("over", rewriting.OVER, rewriting.NEW)
    found = [Target("save over an old file, against a new name", ("over",), 1.1, over, at_least=False)]
    for kind in ("cold", "warm"):
        for other, bound in ((rewriting.MAPPED, 2), (rewriting.TORCH, 1.2)):
            measure = _slower("then-write", f"{other}, {kind}", f"{rewriting.OWN}, {kind}")
            title = f"{rewriting.OWN}, then write, {kind}: as fast as {other}"
            found.append(Target(title, ("then-write",), bound, measure))
    return found


def _of_checkpoints() -> list[Target]:
    """How long a save may stop a training run, and how much memory it may keep."""
    table = "checkpoints"
    goals = (
        (loops.PLAIN, "a memcpy of two threads", loops.LIMIT, 1.1),
        (loops.HOOK, "a memcpy of two threads", loops.LIMIT, 0.2),
        (loops.PLAIN, loops.DCP, loops.DCP, 0.5),
        (loops.HOOK, loops.DCP, loops.DCP, 0.5),
    )
    found = [
        Target(
            f"{ours}: blocked, against {name}", (table,), bound, _slower(table, ours, other), at_least=False
        )
        for ours, name, other, bound in goals
    ]
    return found + [
        Target(f"{ours}: memory for snapshots, of the state", (table,), 1, _kept(ours), at_least=False)
        for ours in (loops.PLAIN, loops.HOOK)
    ]


def _of_ranks() -> list[Target]:
    """How fast ranks save and load together."""
    found = []
    for size in distributed.SIZES:
        for mesh in (ranks.FSDP, ranks.HSDP):
            name, title = distributed.name_of(mesh, size), f"{size} ranks, {mesh}"
            for doing, bound in (("save", 3), ("cold", 1.5), ("warm", 1.5)):
                table, what = f"{name}-{doing}", doing if doing == "save" else f"{doing} load"
                faster = _faster(table, ranks.OURS, ranks.DCP)
                found.append(Target(f"{title}: {what}, against {ranks.DCP}", (table,), bound, faster))
            save, blocked = f"{name}-save", f"{name}-blocked"
            found += [
                Target(
                    f"{title}: save, {distributed.COORDINATION}", (save,), 5, _coordination_of(save), "%",
                    at_least=False,
                ),
                Target(
                    f"{title}: bytes, {distributed.BALANCE}, of the mean", (save,), 1.1, _balance_of(save),
                    at_least=False,
                ),
                Target(
                    f"{title}: blocked, against a memcpy", (blocked,), 1.2,
                    _slower(blocked, ranks.OURS, ranks.MEMCPY), at_least=False,
                ),
            ]  # fmt: skip
    return found


def _of_serving() -> list[Target]:
    """How many requests a server answers, of the others' numbers; how even it is; what workers take."""
    found = []
    for model in (serving.SCALED, serving.FOREST):
        for clients in serving.CLIENTS:
            name, title = f"serving {model} {clients}", f"{model.replace('-', ' ')}, {clients} clients"
            mlflow = 2.5 if clients == 1 else 3
            for other, bound in ((servers.BARE, 0.8), *zip(servers.PEERS, (mlflow, 2, 2), strict=True)):
                faster = _faster_if_there(name, servers.OURS, other)
                found.append(Target(f"{title}: against {other}", (name,), bound, faster))
            even = Target(
                f"{title}: p99 at half load, of the median", (name,), 2, _even(name), at_least=False
            )
            found.append(even)
    many = f"memory of {serving.WORKERS} workers, of that of one"
    return [*found, Target(many, ("serving memory",), 1.3, _of_one_worker, at_least=False)]


def _even(name: str) -> Callable[[Tables], float]:
    return lambda tables: float(tables[name].cells[0][-1])


def _of_one_worker(tables: Tables) -> float:
    one, many = tables["serving memory"].rows
    return many.bytes[0] / one.bytes[0]


def _faster_if_there(name: str, ours: str, other: str) -> Callable[[Tables], float | None]:
    """How many times faster; None of a server that is not installed."""

    def measure(tables: Tables) -> float | None:
        table = tables[name]
        return table.faster(ours, other) if any(row.what == other for row in table.rows) else None

    return measure


def _coordination_of(name: str) -> Callable[[Tables], float]:
    return lambda tables: float(tables[name].cells[0][2].rstrip("%"))


def _balance_of(name: str) -> Callable[[Tables], float]:
    return lambda tables: float(tables[name].cells[0][1])


def _kept(ours: str) -> Callable[[Tables], float]:
    def measure(tables: Tables) -> float:
        table = tables["checkpoints"]
        return float(table.cells[table.rows.index(table.row(ours))][-1])

    return measure


def _packed(tables: Tables) -> float:
    return max(tables["versions-nothing"].row(versions.PACKS).bytes)


def _beyond_change(name: str) -> Callable[[Tables], float]:
    def measure(tables: Tables) -> float:
        table = tables[name]
        added, changed = (fmean(table.row(what).bytes) for what in (versions.OURS, versions.LIMIT))
        return 100 * (added / changed - 1)

    return measure


def _slower(name: str, ours: str, other: str) -> Callable[[Tables], float]:
    return lambda tables: ratio(tables[name].row(ours).seconds, tables[name].row(other).seconds)


def _of_limit(name: str) -> Callable[[Tables], float]:
    return lambda tables: tables[name].of_limit(OURS)


def _faster(name: str, ours: str, other: str) -> Callable[[Tables], float]:
    return lambda tables: tables[name].faster(ours, other)


def _beyond(tables: Tables) -> float:
    table = tables["startup"]
    pairs = zip(table.row(startup.OURS).seconds, table.row(startup.NUMPY).seconds, strict=True)
    return median(ours - numpy for ours, numpy in pairs) * 1e3


def _taken(what: str) -> Callable[[Tables], float]:
    return lambda tables: median(tables["startup"].row(what).seconds) * 1e3


def _ring() -> float:
    from saver.pack.ring import RING_BUFFER, RING_LENGTH

    return RING_BUFFER * RING_LENGTH / 1e6


def verdicts(tables: Sequence[Table], peaks: Sequence[Peak]) -> list[tuple[str, str, str, str]]:
    """A line for every target that was measured."""
    named = {table.name: table for table in tables}
    lines = [target.verdict(named) for target in _targets()]
    for peak in peaks:
        if peak.what == OURS:
            bound, figure = 1.5 * _ring(), peak.growth / 1e6
            short = "pass" if figure <= bound else f"short by {figure / bound - 1:.0%}"
            lines.append(("memory of a save: the ring", f"≤ {bound:.0f} MB", f"{figure:.1f} MB", short))
    return [line for line in lines if line is not None]
