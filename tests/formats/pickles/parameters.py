"""Which parameters newer versions added to estimators: `python parameters.py` writes the table of them.

It reads the golden pickles, without running them, and asks the installed scikit-learn what it takes.
"""

from __future__ import annotations

import inspect
import json
import sys
import tarfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import make

from saver.formats.pickle.joblib import Arrays
from saver.formats.pickle.machine import Machine
from saver.formats.pickle.opcodes import run
from saver.pickled import Pairs

HERE = Path(__file__).parent
TABLE = HERE.parents[2] / "src/saver/families/sklearn/parameters.json"
BEFORE = {
    ("HistGradientBoostingClassifier", "categorical_features"): None,
    ("HistGradientBoostingRegressor", "categorical_features"): None,
    ("CalibratedClassifierCV", "ensemble"): True,
}
"""Where the default of today does not mean what was before."""
RENAMED = {
    ("OneHotEncoder", "sparse_output"), ("TSNE", "max_iter"),
    *(("TfidfVectorizer", name) for name in ("norm", "smooth_idf", "sublinear_tf", "use_idf")),
}  # fmt: skip
"""Parameters that others became, which migrations take from there."""


def attributes() -> dict[str, list[set[str]]]:
    """The names of the attributes of every estimator in the golden pickles, by class."""
    found: dict[str, list[set[str]]] = {}
    with tarfile.open(HERE / "estimators.tar.xz") as archive:
        for entry in archive:
            stream = archive.extractfile(entry)
            if not entry.name.endswith(".joblib") or stream is None:
                continue
            arrays = Arrays(entry.name, None)
            arrays.machine = machine = Machine(memoryview(stream.read()), built=arrays)
            run(machine)
            for call in machine.calls:
                if type(call.state) is Pairs:
                    names = {key for key, _ in call.state.items if type(key) is str}
                    if "_sklearn_version" in names:
                        found.setdefault(call.function.name, []).append(names)
    return found


def table() -> dict[str, dict[str, Any]]:
    """The parameters that an estimator of some version lacks, and the values that mean what was before."""
    found: dict[str, dict[str, Any]] = {}
    known, held = make.classes(), attributes()
    for name in sorted(known.keys() & held.keys()):
        for parameter in known[name]._get_param_names():
            default = inspect.signature(known[name].__init__).parameters[parameter].default
            plain = default is None or type(default) in (bool, int, float, str) or hasattr(default, "item")
            added = any(parameter not in each for each in held[name])
            if added and plain and parameter != "estimator" and (name, parameter) not in RENAMED:
                value = BEFORE.get((name, parameter), default)
                found.setdefault(name, {})[parameter] = getattr(value, "item", lambda value=value: value)()
    return found


def text() -> str:
    """The table as it is in the file: a line for each class."""
    lines = (f"{json.dumps(name)}: {json.dumps(values)}" for name, values in table().items())
    return "{\n" + ",\n".join(lines) + "\n}\n"


if __name__ == "__main__":
    TABLE.write_text(text())
