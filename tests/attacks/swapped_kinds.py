"""Puts nodes of one kind where those of another stand: `python -m tests.attacks.swapped_kinds`, from the
root of the repository.

For each pair of kinds of nodes (the names of two codecs) it changes an honest file in two ways, so that all
hashes are right again: an honest node of the second kind stands where one of the first stood, with its own
tensors; and a node of the first kind says that it is one of the second. Each file is loaded under the watch
of the fuzzer, which says what no file may do, and what was loaded is saved again. The exit status is 1 if
anything was found.

`--hosts` names families whose nodes are replaced (`torch`), or single kinds. With `--slots`, each kind is
replaced within each kind of node that holds it, and `--hosts` names the holders.
"""

from __future__ import annotations

import argparse
import copy
import faulthandler
import json
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parent / "families")]
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_variable] = "1"  # threads do not survive a fork

from forge import File, dumps, forged  # noqa: E402
from fuzz_samples import makers  # noqa: E402
from fuzz_watch import Watch  # noqa: E402
from fuzz_worker import quiet  # noqa: E402
from mutations import nodes, piece_of  # noqa: E402
from swapped_samples import SAMPLES  # noqa: E402

import saver  # noqa: E402
from saver import registry  # noqa: E402

LARGEST = 60_000
"""Bytes of an honest file: larger ones only take longer."""


ANYTHING = ("list", "tuple", "dict", "sklearn.estimator", "torch.Module", "skorch.net", "sklearn.bunch")
"""Kinds of nodes that hold whatever a user puts there."""


Case = tuple[str, Callable[[Path], list[str]]]
"""Its name, and what writes its file, and says what holds the node there."""


class Host(NamedTuple):
    """Where a node of a kind stands: its file, its place there, and what holds it."""

    file: File
    number: int
    holder: str


def known() -> set[str]:
    """The kinds of all families whose library is installed."""
    found = set[str]()
    for family in registry.families():
        if family.name in ("python", "saver") or find_spec(family.packages[0]) is not None:
            module = family.module("codecs")
            found |= {codec.name for codec in (module.CODECS if module is not None else ())}
    return found


def hosts(files: list[File]) -> dict[str, Host]:
    """For each kind a place where it stands, in a small file: where something is expected, if it ever is."""
    found: dict[str, Host] = {}
    for file in sorted(files, key=lambda file: len(file.data) + len(dumps(file.manifest))):
        for number, (holder, key) in enumerate(nodes(file)):
            kind = holder[key]["$"]
            within = _holder(file, holder)
            if kind not in found or _rank(within) > _rank(found[kind].holder):
                found[kind] = Host(file, number, within)
    return found


def slots(files: list[File]) -> dict[str, Host]:
    """The places where a kind stands in a node of another kind: one for each two kinds."""
    found: dict[str, Host] = {}
    for file in sorted(files, key=lambda file: len(file.data) + len(dumps(file.manifest))):
        for number, (container, key) in enumerate(nodes(file)):
            holder = _holder(file, container)
            if holder not in ANYTHING and holder:
                found.setdefault(f"{container[key]['$']} in {holder}", Host(file, number, holder))
    return found


def _rank(holder: str) -> int:
    """How much it matters what stands there: least at the root, most in a node that expects something."""
    return 0 if not holder else 1 if holder in ANYTHING else 2


def _holder(file: File, container: Any) -> str:
    """The kind of the node in whose state a container lies."""
    waiting: list[tuple[Any, str]] = [(file.manifest["parts"], "")]
    while waiting:
        value, kind = waiting.pop()
        if value is container:
            return kind
        if isinstance(value, dict):
            kind = value["$"] if isinstance(value.get("$"), str) else kind
            waiting += ((each, kind) for each in value.values())
        elif isinstance(value, list):
            waiting += ((each, kind) for each in value)
    return ""


def replaced(host: Host, donor: Host) -> Callable[[Path], list[str]]:
    """What writes the file of a host with a node of the donor in its place."""

    def make(path: Path) -> list[str]:
        changed = host.file.copy()
        holder, key = nodes(changed)[host.number]
        holder[key] = piece_of(changed, donor.file, nodes(donor.file)[donor.number])
        changed.write(path)
        return [host.holder]

    return make


def renamed(host: Host, kind: str) -> Callable[[Path], list[str]]:
    """What writes the file of a host whose node says that it is of another kind."""

    def make(path: Path) -> list[str]:
        changed = host.file.copy()
        holder, key = nodes(changed)[host.number]
        holder[key] = {**copy.deepcopy(holder[key]), "$": kind}
        changed.write(path)
        return [host.holder]

    return make


def cases(
    places: dict[str, Host], found: dict[str, Host], wanted: list[str], replace: bool
) -> Iterator[tuple[str, Callable[[Path], list[str]]]]:
    """Every place with every kind that does not stand there, both ways."""
    for kind, host in sorted(places.items()):
        of = host.holder if " in " in kind else kind
        if wanted and of not in wanted and of.partition(".")[0] not in wanted:
            continue
        for other, donor in sorted(found.items()):
            if other != kind.partition(" in ")[0]:
                yield f"{kind} <- {other}", replaced(host, donor)
                if not replace:
                    yield f"{kind} says {other}", renamed(host, other)


def honest(folder: Path, wanted: tuple[str, ...]) -> list[File]:
    """The small files of all samples that the libraries here make, or of some, if they are named."""
    files = list[File]()
    others = {name: make for name, make in SAMPLES.items() if not wanted or name in wanted}
    for number, (name, make) in enumerate({**makers(wanted), **others}.items()):
        here = folder / str(number)
        here.mkdir()
        try:
            files.append(forged(here, make()))
        except Exception as error:  # of a library that is not here, or what has no data form
            print(f"no sample {name}: {type(error).__name__}: {str(error)[:100]}", file=sys.stderr)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
    return [file for file in files if len(file.data) < LARGEST]


def loaded(watch: Watch, path: Path) -> tuple[str, dict[str, str]]:
    """ "loaded" or the error's code, and what should not have happened while it was loaded or saved again."""
    watch.path, watch.found = str(path), {}
    watch.begin("load", "load")
    try:
        found = saver.load(path)
    except saver.SaverError as error:
        return error.code, watch.found
    except Exception as error:
        return type(error).__name__, {**watch.found, f"{type(error).__name__} from load": str(error)[:300]}
    finally:
        watch.end()
    try:
        saver.dumps(found)  # what is sound enough to be loaded is sound enough to be saved, or refused
    except saver.SaverError:
        pass
    except Exception as error:
        watch.found[f"{type(error).__name__} from dumps"] = str(error)[:300]
    return "loaded", watch.found


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--hosts", nargs="*", default=[])
    parser.add_argument("--samples", nargs="*", default=[], help="groups or names of samples of the fuzzer")
    parser.add_argument("--replaced", action="store_true", help="only honest nodes in the place of others")
    parser.add_argument("--slots", action="store_true", help="each kind in each kind of node that holds it")
    parser.add_argument("--output", type=Path, help="a file for what became of each pair, as JSON")
    options = parser.parse_args()
    faulthandler.enable()
    with tempfile.TemporaryDirectory(prefix="saver-swaps-") as name, quiet():
        folder = Path(name)
        os.environ["SAVER_CONFIG"] = str(folder / "no-config.toml")
        files = honest(folder, tuple(options.samples))
        found = hosts(files)
        print(
            f"{len(found)} kinds; without a sample: {', '.join(sorted(known() - set(found))) or 'none'}",
            flush=True,
        )
        watch, path = Watch(), folder / "case.saver"
        watch.install()
        with suppress(ZoneInfoNotFoundError):
            ZoneInfo("Nowhere")  # imports what it looks for tables with
        watch.learning = True
        for host in found.values():
            host.file.write(path)
            loaded(watch, path)
        watch.learning = False
        outcomes, finds, rows = Counter[str](), 0, list[Any]()
        places = slots(files) if options.slots else found
        for case, make in cases(places, found, options.hosts, options.replaced):
            print(case, file=sys.stderr, flush=True)  # the last one, if it ends the process
            holder = make(path)[0]
            outcome, wrong = loaded(watch, path)
            rows.append((case, outcome, holder, wrong))
            outcomes["find" if wrong else outcome] += 1
            for what, where in wrong.items():
                if "zoneinfo" in what:
                    continue  # a time zone by its name: of the machine's own tables, and of nothing else
                finds += 1
                print(f"FIND {case}: {what}\n  {where}", flush=True)
        if options.output:
            options.output.write_text(json.dumps(rows))
        print(", ".join(f"{key} {count:,}" for key, count in outcomes.most_common()))
        return 1 if finds else 0


if __name__ == "__main__":
    sys.exit(main())
