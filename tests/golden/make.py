"""Writes the golden files of format 1: `python tests/golden/make.py --overwrite-golden-files`.

They stand for every file that users have. If they no longer load, that is the bug; do not write them anew.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import saver

sys.path.append(str(Path(__file__).parents[1]))

import golden_grid
import golden_profiles
import golden_signed
import golden_store
from blake3 import blake3
from golden_values import GOLDEN

FLAG = "--overwrite-golden-files"


def main() -> None:
    if sys.argv[1:] != [FLAG]:
        sys.exit(f"{__doc__}\nNothing was written. New entries only need: {FLAG}")
    folder = Path(__file__).parent
    os.chdir("/")  # no git commit in them
    for name, make in (GOLDEN | golden_profiles.PROFILES).items():
        saver.dump(make(), folder / f"{name}.1.saver")
    shutil.rmtree(folder / "store.1", ignore_errors=True)
    golden_store.make(folder / "store.1")
    shutil.rmtree(folder / "grid.1", ignore_errors=True)
    golden_grid.make(folder / "grid.1")
    shutil.rmtree(folder / "signing", ignore_errors=True)
    golden_signed.make(folder / "signing")
    keep(folder)


def keep(folder: Path) -> None:
    """Writes the BLAKE3 of every golden file into `kept.json`. For files that were added by other means:
    `python -c "import make; make.keep(make.Path('.'))"`."""
    files = [
        path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix not in (".py", ".pyc")
    ]
    names = {path.relative_to(folder).as_posix(): path for path in files if path.name != "kept.json"}
    hashes = {name: blake3(path.read_bytes()).hexdigest() for name, path in names.items()}
    (folder / "kept.json").write_text(json.dumps(hashes, indent=1) + "\n")


if __name__ == "__main__":
    main()
