"""Makes one archive of what `make.py` or `make_frames.py` wrote for each version: `python pack.py FOLDER
estimators`, `frames` or `boosters`.

Files of one name lie next to each other, since they are much alike.
"""

from __future__ import annotations

import io
import sys
import tarfile
from pathlib import Path

HERE = Path(__file__).parent


def main(folder: str, name: str) -> None:
    """Write `NAME.tar.xz` beside this file; the same files make the same bytes."""
    files = sorted(Path(folder).glob("*/*"), key=lambda path: (path.suffix, path.stem, path.parent.name))
    with tarfile.open(HERE / f"{name}.tar.xz", "w:xz", preset=9, format=tarfile.USTAR_FORMAT) as archive:
        for path in files:
            data = path.read_bytes()
            entry = tarfile.TarInfo(f"{path.parent.name}/{path.name}")
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))


if __name__ == "__main__":
    main(*sys.argv[1:3])
