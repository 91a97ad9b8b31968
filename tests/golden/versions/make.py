"""Writes the golden files of the libraries that are installed: `python tests/golden/versions/make.py`.

There is one of the oldest and one of the newest version that pyproject.toml admits; each is read under the
other (`test_versions.py`). Written anew when the newest version is another.
"""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path

import saver

FOLDER = Path(__file__).parent
sys.path += [str(FOLDER), str(FOLDER.parents[1]), str(FOLDER.parents[1] / "families")]

import fitted
import frames
import pandas
import sklearn


def main() -> None:
    warnings.simplefilter("ignore")
    os.chdir("/")  # no git commit in them
    saver.dump(fitted.estimators(), FOLDER / f"scikit-learn-{sklearn.__version__}.saver")
    saver.dump(frames.values(), FOLDER / f"pandas-{pandas.__version__}.saver")


if __name__ == "__main__":
    main()
