"""What the fuzzer kept, and the files to which readers are held, as versions of a store: every page shows
them or says why not, imports nothing for them, and no script of it fails in Chromium."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from browsing import browse
from nets import running
from planted import Planted, corpus
from visiting import Visitor

from saver.pages.server import Pages

pytestmark = pytest.mark.slow

SHOWN = "/version/{0}", "/card/{0}", "/curves/{0}", "/compare/{0}?with=honest@1", "/log/{0}", "/delete/{0}"
EVERY = 10
"""Which files of the corpus: those of each layer and of each kind of change are among them."""


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Planted, list[str]]:
    found = Planted(tmp_path_factory.mktemp("planted"))
    kept = [path for path in corpus() if path.parent.name == "corpus"]
    return found, [*found.mutants(60), *found.files(corpus()[::EVERY]), *found.files(kept)]


def test_every_page_shows_what_enemies_made_or_says_why_not(planted: tuple[Planted, list[str]]) -> None:
    store, refs = planted
    visitor = Visitor(Pages(store.store).site)
    whole = 0
    for ref in refs:
        for path in SHOWN:
            status = visitor.client.get(path.format(ref)).status_code
            assert status in (200, 404, 422), (path, status)
            visitor.get(path.format(ref), status)
            visitor.json(path.format(ref), status)
        whole += visitor.json(f"/version/{ref}").description is not None
    assert len(refs) // 3 < whole < len(refs), "some are read whole, and some are not"
    for path in ("/", "/health", "/log"):
        visitor.get(path)


def test_no_script_of_a_page_fails_for_them(planted: tuple[Planted, list[str]]) -> None:
    store, refs = planted
    paths = [path.format(ref) for ref in refs[::8] for path in (*SHOWN[:1], *SHOWN[2:4])]
    with running(store.store) as one:
        found = browse(one.pages.address, {path: path for path in paths}, axe="", once=True)
    bad = [each for each in found["troubles"] if "the server responded with a status of 4" not in each]
    assert bad == []


OF_TORCH = """
import sys
from pathlib import Path
sys.path[:0] = sys.argv[2:]
from planted import Planted
planted = Planted(Path(sys.argv[1]))
file = planted.honest()
log = file.manifest["parts"]["log"]["tree"]
log["state"]["events"][0] = {"$": "torch.Module", "class": "torch.nn.modules.linear:Linear", "state": {}}
ref = planted.add_file(file)
from visiting import Visitor
from saver.pages.server import Pages
visitor = Visitor(Pages(planted.store).site)
for path in ("/version/", "/card/", "/curves/", "/model/"):
    visitor.client.get(path + (ref if path != "/model/" else ref.partition("@")[0]))
assert visitor.client.get(f"/card/{ref}").status_code == 200
assert "not a training log alone" in visitor.client.get(f"/curves/{ref}").text
print(*(name for name in ("torch", "tensorflow", "sklearn", "xgboost", "pandas") if name in sys.modules))
"""


def test_no_page_imports_a_library_for_a_log_that_names_one(tmp_path: Path) -> None:
    tests = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", OF_TORCH, str(tmp_path), str(tests), str(tests / "pages")],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.split() == []
