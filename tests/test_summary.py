"""What a run of these tests says at its end."""

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def test_it_tells_why_a_whole_module_did_not_run(tmp_path: Path) -> None:
    (tmp_path / "without_obstore.py").write_text("import sys\n\nsys.modules['obstore'] = None\n")
    paths = [str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]
    options = ["-p", "without_obstore", "-p", "no:cacheprovider", "-n", "0", "-q"]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(HERE / "storages" / "test_buckets.py")],
        cwd=HERE.parent,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
    )
    assert not run.stderr, run.stderr
    assert "buckets: 0 tests ran, 1 skipped; 1 for could not import 'obstore'" in run.stdout
    assert run.stdout.splitlines()[-1].startswith("1 skipped in ")
