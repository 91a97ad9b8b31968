"""Writes the golden files of format 1: `python tests/golden/make.py --overwrite-golden-files`.

They stand for every file that users have. If they no longer load, that is the bug; do not write them anew.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import saver

sys.path.append(str(Path(__file__).parents[1]))

import golden_grid
import golden_signed
import golden_store
from golden_values import GOLDEN

FLAG = "--overwrite-golden-files"


def main() -> None:
    if sys.argv[1:] != [FLAG]:
        sys.exit(f"{__doc__}\nNothing was written. New entries only need: {FLAG}")
    folder = Path(__file__).parent
    os.chdir("/")  # no git commit in them
    for name, make in GOLDEN.items():
        saver.dump(make(), folder / f"{name}.1.saver")
    shutil.rmtree(folder / "store.1", ignore_errors=True)
    golden_store.make(folder / "store.1")
    shutil.rmtree(folder / "grid.1", ignore_errors=True)
    golden_grid.make(folder / "grid.1")
    shutil.rmtree(folder / "signing", ignore_errors=True)
    golden_signed.make(folder / "signing")


if __name__ == "__main__":
    main()
