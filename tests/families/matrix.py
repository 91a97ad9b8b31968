"""Which estimators one version of scikit-learn cannot take from another: every estimator, every pair.

In an environment of each version:

    python tests/families/matrix.py save FOLDER
    python tests/families/matrix.py load FOLDER      # once all have saved

and then `python tests/families/matrix.py report FOLDER > tests/families/sklearn_breaks.txt`, which
`test_breaks.py` compares with what Saver tells its users.
"""

from __future__ import annotations

import copy
import json
import re
import sys
import warnings
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parents[1]
sys.path += [str(TESTS), str(TESTS / "families"), str(TESTS / "golden/versions")]

METHODS = (
    "predict", "predict_proba", "predict_log_proba", "decision_function", "transform", "inverse_transform",
    "score_samples", "apply", "kneighbors", "get_feature_names_out",
)  # fmt: skip

WORST_FIRST = ("will not load", "will not predict", "cannot be cloned or shown", "will not transform back",
               "will not name its features")  # fmt: skip


def save(folder: Path) -> None:
    import sklearn
    from estimators import named_instances
    from fitted import SMALL, X, Y
    from sklearn.base import clone
    from sklearn.linear_model import LogisticRegression
    from test_sklearn import fitting_data

    import saver

    place = folder / sklearn.__version__
    place.mkdir(parents=True)
    for name, estimator in named_instances(LogisticRegression().fit(X, Y)):
        model = estimator if type(estimator).__name__ == "FrozenEstimator" else clone(estimator)
        options = {key: value for key, value in SMALL.items() if key in model.get_params(deep=False)}
        features, target = fitting_data(model)
        given = (features,) if target is None else (features, target)
        small = copy.deepcopy(model)
        small.set_params(**options)
        try:
            small.fit(*copy.deepcopy(given))
        except (ValueError, TypeError):  # too small for this one
            model.fit(*given)
        else:
            model = small
        found = {method: answer(model, method, features) for method in METHODS}
        answers = {method: value for method, value in found.items() if value is not None}
        saver.dump({"model": model, "data": [features, answers]}, place / f"{name}.saver")
    print(sklearn.__version__, len(list(place.iterdir())))


def answer(model: Any, method: str, features: Any) -> Any:
    """What a method answers, as an array or a list of texts; None if it gives no answer."""
    try:
        return asked(model, method, copy.deepcopy(features))
    except Exception:
        return None


def asked(model: Any, method: str, features: Any) -> Any:
    import numpy as np
    import scipy.sparse

    found = getattr(model, method)() if method.startswith("get_") else getattr(model, method)(features)
    found = found[1] if method == "kneighbors" else found
    array = np.ascontiguousarray(found.toarray() if scipy.sparse.issparse(found) else found)
    return array if array.dtype.kind in "biuf" else [str(item) for item in array.ravel()]


def load(folder: Path) -> None:
    import sklearn

    here = sklearn.__version__
    found = {
        f"{path.parent.name}>{here} {path.stem}": list(failures(path))
        for path in sorted(folder.glob("*/*.saver"))
    }
    (folder / f"{here}.json").write_text(json.dumps(found, indent=0))
    print(here, len(found))


def failures(path: Path) -> Iterator[str]:
    """What a model cannot do here: the method, and the error."""
    from sklearn.base import clone

    import saver

    features, answers = saver.load(path, parts=["data"])["data"]
    try:
        model = saver.load(path, parts=["model"])["model"]
    except (saver.IncompatibleError, saver.NotFoundError) as error:
        yield f"load: {error}"
        return
    for method, recorded in answers.items():
        try:
            if not equal(asked(model, method, copy.deepcopy(features)), recorded):
                yield f"{method}: another answer"
        except Exception as error:
            yield f"{method}: {error}"
    for act in (repr, clone):
        try:
            act(model)
        except Exception as error:
            yield f"{act.__name__}: {error}"


def equal(found: Any, recorded: Any) -> bool:
    import numpy as np

    if isinstance(recorded, list) or isinstance(found, list):
        return list(found) == list(recorded)
    return found.shape == recorded.shape and bool(np.allclose(found, recorded, rtol=1e-6, atol=1e-9))


def report(folder: Path) -> None:
    worst: dict[tuple[str, str], int] = {}
    for file in folder.glob("*.json"):
        for place, failed in json.loads(file.read_text()).items():
            pair, _, name = place.partition(" ")
            for failure in failed:
                key = (cause(name.rpartition("-")[0], failure), short(pair))
                worst[key] = min(worst.get(key, 9), WORST_FIRST.index(what(failure)))
    lines = defaultdict(list)
    for (name, pair), number in worst.items():
        lines[f"{name} {WORST_FIRST[number]}"].append(pair)
    for line, pairs in sorted(lines.items()):
        print(f"{line}: {' '.join(sorted(pairs))}")


def cause(name: str, failure: str) -> str:
    """The class that the error names: an estimator fails with one that it is made of."""
    found = re.search(r"'(\w+)' object has no attribute", failure)
    return name if found is None or failure.startswith("load") else found[1]


def what(failure: str) -> str:
    method = failure.partition(":")[0]
    kinds = {
        "load": 0, "repr": 2, "clone": 2, "inverse_transform": 3, "get_feature_names_out": 4
    }  # fmt: skip
    return WORST_FIRST[kinds.get(method, 1)]


def short(pair: str) -> str:
    """The pair without the numbers of patches: `1.5>1.9`."""
    return ">".join(".".join(version.split(".")[:2]) for version in pair.split(">"))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    {"save": save, "load": load, "report": report}[sys.argv[1]](Path(sys.argv[2]))
