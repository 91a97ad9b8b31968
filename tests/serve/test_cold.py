"""What a server does before its first answer: a template imports what its model needs, and no more."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from irises import X, Y

import saver

IN_VAIN = {"pyarrow.parquet", "sklearn.compose", "starlette", "uvicorn", "jinja2", "click"}


@pytest.mark.slow
def test_a_template_imports_what_its_model_needs(tmp_path: Path) -> None:
    from sklearn import __version__ as version
    from sklearn.tree import DecisionTreeClassifier

    if int(version.split(".")[1]) < 9:
        pytest.skip("scikit-learn before 1.9 has a list of columns in sklearn.compose")
    store = saver.Saver(tmp_path / "store")
    store.save("tree", {"model": DecisionTreeClassifier().fit(X, Y)}, example=X[:9])
    order = {"store": str(tmp_path / "store"), "ref": "tree@1", "trust": (), "signed_by": ()}
    program = (
        f"import sys; from saver.serve import template; model = template.load({order!r}); "
        "print(model.check(False)['text'], *sys.modules, sep='\\n')"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    said, *modules = found.stdout.splitlines()
    assert said == "9 of 9 identical"
    assert sorted(IN_VAIN & set(modules)) == []
