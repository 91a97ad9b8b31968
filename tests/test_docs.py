"""What the documentation shows is run as it stands there."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def blocks(page: str, language: str) -> list[str]:
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def run(source: str, folder: Path) -> str:
    (folder / "example.py").write_text(source, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-W", "ignore:__main__", "example.py"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_codec_example_works_as_an_installed_plugin(tmp_path: Path) -> None:
    """The page's modules, and a distribution whose metadata holds the page's entry point."""
    pages = blocks("docs/codecs.md", "python")
    register, geometry, codec, declaration, example, references, contract = pages
    (entry_point,) = re.findall(r"^(\w+) = \"(\w+)\"$", blocks("docs/codecs.md", "toml")[0], re.MULTILINE)
    (tmp_path / "geometry.py").write_text(geometry, encoding="utf-8")
    (tmp_path / "geometry_codecs.py").write_text(codec, encoding="utf-8")
    (tmp_path / f"{entry_point[1]}.py").write_text(declaration, encoding="utf-8")
    info = tmp_path / "geometry-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: geometry\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(
        f"[saver.families]\n{entry_point[0]} = {entry_point[1]}\n", encoding="utf-8"
    )
    run(example, tmp_path)
    unnamed = example.replace(', trust=["family:geometry"]', "")
    assert unnamed != example
    told = run(
        f"import saver\ntry:\n{indented(unnamed)}\nexcept saver.UntrustedError as error:\n"
        "    print(error.names)\n",
        tmp_path,
    )
    assert told == "('family:geometry',)\n"
    hostile = example.replace("np.array([0, 1, 2, 3])", "np.array([0, 1, 2, 99])")
    refused = (
        f"import saver\ntry:\n{indented(hostile)}\n"
        "except saver.IncompatibleError as error:\n    print(error)\n"
    )
    assert "not a permutation" in run(refused, tmp_path)
    run(references, tmp_path)
    (tmp_path / "test_geometry.py").write_text(contract, encoding="utf-8")
    tested = run("import sys, pytest\nsys.exit(pytest.main(['-q', '-p', 'no:cacheprovider']))", tmp_path)
    assert "passed" in tested
    checked = 'assert saver.load("v.saver").words == ["a"]'
    run(f'{register}\nsaver.dump(Vocabulary(["a"]), "v.saver")\n{checked}\n', tmp_path)


def indented(source: str) -> str:
    return "".join(f"    {line}\n" for line in source.splitlines())


@pytest.mark.slow
def test_the_readme_example_works(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    told = run("\n".join(blocks("README.md", "python")), tmp_path)
    assert told.startswith("0.9")
    assert (tmp_path / "best.saver").exists()


@pytest.mark.slow
def test_a_project_of_torch_save_moves_over_and_goes_on(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    old = (
        "import torch, saver\nnet = torch.nn.Linear(2, 1)\nloss = 0.5\n"
        "optimizer = torch.optim.AdamW(net.parameters())\n"
        "net(torch.ones(1, 2)).backward()\noptimizer.step()\n"
        "state = {'model_state_dict': net.state_dict(), 'optimizer_state_dict': optimizer.state_dict()}\n"
        "torch.save({**state, 'epoch': 4, 'loss': loss}, 'net.pt')\n"
        "import os\nos.makedirs('experiments', exist_ok=True)\n"
        "torch.save(net.state_dict(), 'experiments/other_v1.pt')\n"
    )
    page = "\n".join(blocks("docs/migrating.md", "python"))
    assert "0 missing" not in run(old + page, tmp_path)
    went_on = (
        "steps = [version.step for version in store.versions('net-run')]\nprint(steps == [*range(5, 100)])"
    )
    assert run(f"{old}{page}\n{went_on}", tmp_path).endswith("True\n")


@pytest.mark.slow
def test_the_quickstart_works(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    told = run("\n".join(blocks("docs/quickstart.md", "python")), tmp_path)
    assert told.startswith("iris@1 ")
    assert (tmp_path / "iris.saver").exists()
    (terminal,) = blocks("docs/quickstart.md", "console")
    for line in terminal.splitlines():
        for command in line.removeprefix("$ saver ").partition("    #")[0].partition("   #")[0].split(" && "):
            words = shlex.split(command.removeprefix("saver "), comments=True)
            words += ["--yes"] if words[0] == "rm" else []  # which a terminal asks
            done = subprocess.run(
                [sys.executable, "-m", "saver", *words],
                cwd=tmp_path,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == (words[0] == "diff"), (words, done.stderr)


@pytest.mark.slow
def test_the_loop_of_the_guide_to_checkpoints_works(tmp_path: Path) -> None:
    told = run("\n".join(blocks("docs/checkpoints.md", "python")), tmp_path)
    assert told.startswith("499 500\n")
    assert "all bits agree" in told


@pytest.mark.slow
def test_the_examples_of_tests_with_faults_pass(tmp_path: Path) -> None:
    examples = "\n".join(blocks("docs/faults.md", "python"))
    (tmp_path / "test_promotion.py").write_text(examples, encoding="utf-8")
    told = run("import sys, pytest\nsys.exit(pytest.main(['-q', '-p', 'no:cacheprovider']))", tmp_path)
    (passed,) = re.findall(r"(\d+) passed", told)
    assert int(passed) > 200, told


@pytest.mark.slow
def test_the_pipeline_answers_over_the_network(tmp_path: Path) -> None:
    """Each program of the page runs in a process of its own, and its commands as they stand there, but for
    the port and the environment of `ask.py`."""
    for needed in ("sklearn", "pandas", "starlette", "uvicorn"):
        pytest.importorskip(needed)
    page = (ROOT / "docs/pipeline.md").read_text(encoding="utf-8")
    programs = dict(re.findall(r"```python\n# (\w+)\.py\n(.*?)```", page, re.DOTALL))
    assert list(programs) == ["train", "load", "ask"]
    commands = [line[2:] for block in blocks("docs/pipeline.md", "console") for line in block.splitlines()]
    predict, token, serve = commands

    def shell(command: str) -> str:
        inside = command.replace("saver ", f"{sys.executable} -m saver ", 1)
        return subprocess.run(
            inside, shell=True, cwd=tmp_path, check=True, capture_output=True, text=True
        ).stdout

    assert run(programs["train"], tmp_path).startswith("wine@1 ")
    assert "'prediction'" in run(programs["load"], tmp_path)
    shell(predict)
    assert len((tmp_path / "answers.csv").read_text().splitlines()) == 46
    secret = shell(token.removeprefix("TOKEN=$(").removesuffix(")")).strip()
    server = subprocess.Popen(
        [sys.executable, "-m", *serve.split(), "--port", "0"], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        address = server.stdout.readline().split(" answers at ")[1].split("/predict")[0]
        environment = {"SERVER": address, "TOKEN": secret}
        answered = run(f"import os\nos.environ.update({environment!r})\n{programs['ask']}", tmp_path)
    finally:
        server.terminate()
        server.communicate(timeout=60)
    said = page[page.index("It prints the class, and") :].split("`")[1]
    assert answered.splitlines() == ["0", said]
    assert server.returncode == 0


def test_the_commands_of_the_readme_are_those_of_ci() -> None:
    commands = blocks("README.md", "sh")[0].strip().splitlines()
    assert len(commands) == 2
    assert commands[1] in (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
