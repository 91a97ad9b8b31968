"""A hook of MkDocs: the pages of the site that are not in docs/.

README.md is the first page; other pages of the repository that pages link to come under their paths. Each
stable module of docs/modules.md has a page that is made from docstrings, each decision one in the menu.
Nothing here has prose of its own.
"""

from __future__ import annotations

import ast
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
FIRST = "index.md"
RESULTS = "api/results.md"

RETURNED = (
    "saver.checkpoints.Checkpoints", "saver.checkpoints.Progress", "saver.description.Description",
    "saver.compare.Difference", "saver.repo.history.Change", "saver.repo.history.Summary",
    "saver.repo.entry.Entry", "saver.repo.check.Checked", "saver.repo.gc.Collected",
    "saver.repo.backup.Copied",
)  # fmt: skip
"""Classes that public functions return and that no stable module has: their fields and methods are stable."""

LINK = re.compile(r"(?<=\]\()([\w./-]+)(?=[#)])")


def on_config(config: Any) -> Any:
    """Complete the menu: API, decisions, what the repository says of itself."""
    api = [*({name: page_of(name)} for name in stable_modules()), RESULTS]
    decisions = [f"decisions/{path.name}" for path in sorted((ROOT / "docs/decisions").glob("*.md"))]
    project = [path for path in outside() if path.endswith(".md")]
    more = [{"Decisions": decisions}, {"Project": project}]
    config.nav = [*config.nav[:3], {"API": api}, *config.nav[3:], *more]
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are not in docs/."""
    files.append(File.generated(config, FIRST, content=within_the_site("README.md")))
    for path in outside():
        if path.endswith(".md"):
            files.append(File.generated(config, path, content=within_the_site(path)))
        else:
            files.append(File.generated(config, path, abs_src_path=str(ROOT / path)))
    for name in stable_modules():
        files.append(File.generated(config, page_of(name), content=f"# {name}\n\n{contents(name)}"))
    shown = "\n    options: {show_root_heading: true, show_root_toc_entry: true, show_root_full_path: false}"
    results = "\n\n".join(f"::: {name}{shown}" for name in RETURNED)
    files.append(File.generated(config, RESULTS, content=f"# Results\n\n{results}\n"))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Pages of docs/ link to the repository around them."""
    source = page.file.src_uri
    return markdown if page.file.generated_by else linked(markdown, f"docs/{source}", source)


def stable_modules() -> list[str]:
    table = (ROOT / "docs/modules.md").read_text(encoding="utf-8")
    return re.findall(r"^\| `([a-z_.]+)` \|", table, re.MULTILINE)


def page_of(module: str) -> str:
    return f"api/{module}.md"


def contents(module: str) -> str:
    """The directive that makes the page of a module: of the names in `__all__`, or of all that it defines."""
    folder = ROOT / "src" / module.replace(".", "/")
    path = folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")
    lists = [
        ast.literal_eval(item.value)
        for item in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(item, ast.Assign) and ast.unparse(item.targets[0]) == "__all__"
    ]
    members = f"\n    options:\n      members: {lists[0]}" if lists else ""
    return f"::: {module}{members}\n"


def outside() -> list[str]:
    """Files of the repository beside docs/ to which README.md leads, by any number of links."""
    found, new = {"README.md"}, ["README.md"]
    while new:
        source = new.pop()
        for link in LINK.findall((ROOT / source).read_text(encoding="utf-8")):
            path = posixpath.normpath(posixpath.join(posixpath.dirname(source), link))
            if (ROOT / path).is_file() and not path.startswith("docs/") and path not in found:
                found.add(path)
                new += [path] if path.endswith(".md") else []
    return sorted(found - {"README.md"})


def within_the_site(path: str) -> str:
    text = (ROOT / path).read_text(encoding="utf-8")
    return linked(text, path, FIRST if path == "README.md" else path)


def linked(text: str, source: str, place: str) -> str:
    """The text of a page of the repository, with its links as they are from its place in the site."""

    def link(found: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), found[1]))
        if path == "docs/decisions":
            path = min(f"docs/decisions/{each.name}" for each in (ROOT / path).glob("*.md"))
        target = FIRST if path == "README.md" else path.removeprefix("docs/")
        return posixpath.relpath(target, posixpath.dirname(place) or ".")

    return LINK.sub(link, text)
