"""imbalanced-learn, category_encoders and feature-engine: every estimator comes back, without trust."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sklearn")
pytest.importorskip("pandas")

import kin_of_sklearn as kin

import saver
from saver.errors import CannotSaveError, IncompatibleError
from saver.testing.codecs import StoredObject, bytes_of, load

pytestmark = pytest.mark.filterwarnings("ignore")

LEAST = {"imblearn": 25, "category_encoders": 20, "feature_engine": 50}
"""How many of them can be fitted to the small tables."""

SHOWN = [
    pytest.param("imblearn", marks=pytest.mark.shows("imbalanced-learn", "save", "load")),
    pytest.param("category_encoders", marks=pytest.mark.shows("category_encoders", "save", "load")),
    pytest.param("feature_engine", marks=pytest.mark.shows("feature-engine", "save", "load")),
]

ABSENT = {
    "category_encoders": "category_encoders",
    "feature_engine": "feature_engine",
    "imblearn": "imblearn",
}


@pytest.mark.slow
@pytest.mark.parametrize("family", SHOWN)
def test_every_estimator_answers_the_same_in_a_fresh_process(family: str, tmp_path: Path) -> None:
    pytest.importorskip(family)
    tried = []
    for name in kin.names(family):
        estimator, data = kin.fitted(name)
        if estimator is None:
            unfitted = kin.made(name)
            if unfitted is not None:
                assert bytes_of(unfitted) == bytes_of(load(StoredObject(unfitted), ())), name
            continue
        saver.dump({"estimator": estimator, "data": data}, tmp_path / f"{len(tried)}.saver")
        saver.dump(
            list(kin.answers(saver.loads(saver.dumps(estimator)), data)), tmp_path / f"{len(tried)}.out"
        )
        assert bytes_of(list(kin.answers(estimator, data))) == bytes_of(
            saver.load(tmp_path / f"{len(tried)}.out")
        ), name
        tried.append(name)
    assert len(tried) >= LEAST[family], tried
    program = (
        "import sys, saver\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "import kin_of_sklearn as kin\nfrom saver.testing.codecs import bytes_of\n"
        f"for number in range({len(tried)}):\n"
        f"    found = saver.load(f'{tmp_path}/{{number}}.saver')\n"
        "    made = bytes_of(list(kin.answers(found['estimator'], found['data'])))\n"
        f"    assert made == bytes_of(saver.load(f'{tmp_path}/{{number}}.out')), {tried!r}[number]\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True, timeout=300)


def test_a_hash_that_hashlib_does_not_have_is_refused() -> None:
    encoders = pytest.importorskip("category_encoders")
    made = encoders.HashingEncoder(hash_method="file_digest")
    with pytest.raises(CannotSaveError, match="hash_method"):
        saver.dumps(made)
    saved = StoredObject(encoders.HashingEncoder())
    node: Any = next(node for node in saved.nodes() if str(node.get("class")).endswith("HashingEncoder"))
    node["state"]["hash_method"] = "__loader__"
    with pytest.raises(IncompatibleError, match="hash_method"):
        load(saved, ())
