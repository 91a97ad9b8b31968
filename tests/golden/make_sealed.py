"""Writes the golden sealed store and files: `python tests/golden/make_sealed.py --overwrite-golden-files`.

They stand for every sealed file and store that users have. If they no longer open, that is the bug; do not
write them anew.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))

import golden_sealed

FLAG = "--overwrite-golden-files"


def main() -> None:
    if sys.argv[1:] != [FLAG]:
        sys.exit(f"{__doc__}\nNothing was written.")
    folder = Path(__file__).parent / "sealed"
    os.chdir("/")  # no git commit in them
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    golden_sealed.make(folder / "store.1")
    golden_sealed.make_files(folder)


if __name__ == "__main__":
    main()
