"""`saver ls`: models and versions, on pipes, in terminals of any width, as JSON."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pytest
from running import (
    contents,
    error_of,
    printable,
    run,
    run_in_a_terminal,
    run_json,
    run_where_nothing_can_be_written,
    text_in_a_terminal,
)

import saver
from saver.repo.log import log_key
from saver.repo.repository import Repository


def table(text: str) -> list[list[str]]:
    """The rows of what a pipe gets: cells are two blanks apart."""
    return [re.split(r" {2,}", line.strip()) for line in text.splitlines()]


def test_every_model_has_a_line(store: saver.Saver) -> None:
    store.tag("iris@2", "production")
    titles, iris, bert = table(run("ls").stdout)[1:]
    assert titles == ["model", "versions", "newest", "size", "added", "saved", "age", "tags"]
    assert iris[:3] == ["iris", "3", "@3"]
    assert iris[-1] == "production @2, first @1"
    assert bert[:3] == ["team/bert", "1", "@1"]
    assert bert[-1] == "production @1"


def test_versions_come_newest_first_with_what_each_changed(store: saver.Saver) -> None:
    output = run("ls", "iris").stdout
    assert output.startswith("iris: 3 versions\n  tags: first @1\n")
    titles, third, second, first = table(output)[2:]
    assert titles == [
        "version", "step", "saved", "age", "loss", "f1",
        "tags", "changed", "size", "added", "author", "notes",
    ]  # fmt: skip
    assert (third[0], second[0], first[0]) == ("@3", "@2", "@1")
    assert (third[1], second[1], first[1]) == ("300", "200", "100")
    assert "-scaler" in third
    assert "model, +log" in second
    assert "+model, +scaler" in first
    assert "first" in first
    assert (second[4:6], first[4]) == (["0.25", "0.9"], "0.5")
    assert second[-2:] == ["ada", "with a longer warm-up"]


def test_a_version_that_changed_nothing_says_so(store: saver.Saver) -> None:
    store.save("team/bert", [np.zeros(500)])
    newest = table(run("ls", "team/bert").stdout)[3]
    assert newest[0] == "@2"
    assert newest[3] == "-"


def test_columns_in_which_nothing_stands_are_left_out(store: saver.Saver) -> None:
    titles = table(run("ls", "team/bert").stdout)[2]
    assert titles == ["version", "saved", "age", "tags", "changed", "size", "added", "author"]


def test_n_says_how_many_of_the_newest(store: saver.Saver) -> None:
    output = run("ls", "iris", "-n", "2").stdout
    assert [row[0] for row in table(output)[3:5]] == ["@3", "@2"]
    assert "model, +log" in output
    assert "and 1 older version: -n 3 lists them all" in output
    assert "older" not in run("ls", "iris", "-n", "3").stdout
    assert [row[0] for row in table(run("ls", "-n", "1").stdout)[2:]] == ["team/bert"]


@pytest.mark.slow
def test_a_terminal_gets_the_beginning_of_a_long_list_and_a_pipe_all(store: saver.Saver) -> None:
    for number in range(25):
        store.save("long", number)
    shown = text_in_a_terminal("ls", "long")
    assert len(re.findall(r"@\d+", shown)) == 20
    assert "and 5 older versions: -n 25 lists them all" in shown
    assert len(re.findall(r"@\d+", run("ls", "long").stdout)) == 25
    assert len(run_json("ls", "long")["versions"]) == 25


def test_json_of_models_has_all(store: saver.Saver) -> None:
    document = run_json("ls")
    assert document["store"] == "models"
    iris, bert = document["models"]
    assert (iris["model"], iris["versions"], iris["tags"]) == ("iris", 3, {"first": 1})
    assert iris["newest"]["ref"] == "iris@3"
    assert bert["newest"]["tags"] == ["production"]


def test_json_of_versions_has_all(store: saver.Saver) -> None:
    third, second, first = run_json("ls", "iris")["versions"]
    assert (third["ref"], third["metrics"]) == ("iris@3", {"loss": "nan"})
    assert second["moved"] == {"changed": ["model"], "added": ["log"], "removed": []}
    assert second["notes"] == "with a\nlonger warm-up"
    assert first["parts"]["scaler"]["number"] == 1
    found = store.version("iris@1")
    assert (first["bytes"], first["bytes_added"], first["time"]) == (
        found.bytes, found.bytes_added, found.time,
    )  # fmt: skip
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", first["time_utc"])


def fill_with_long_names(store: saver.Saver) -> str:
    name = "team/" + "a-very-long-name." * 8
    store.save(
        name, {"encoder" * 9: 1, "head": 2}, step=10**12, notes="because " * 40, tags=["tag" * 20, "b", "c"],
        metrics={f"metric_number_{number}": number / 7 for number in range(9)},
    )  # fmt: skip
    return name


@pytest.mark.slow
@pytest.mark.parametrize("width", [50, 80, 140])
def test_tables_fit_the_terminal(store: saver.Saver, width: int) -> None:
    name = fill_with_long_names(store)
    for arguments in (["ls"], ["ls", "iris"], ["ls", name]):
        lines = text_in_a_terminal(*arguments, width=width).splitlines()
        assert max(map(len, (line for line in lines if not line.startswith(name)))) <= width


def test_a_narrow_terminal_says_what_it_leaves_out(store: saver.Saver) -> None:
    narrow, wide = text_in_a_terminal("ls", "iris", width=60), text_in_a_terminal("ls", "iris", width=200)
    assert "not shown here: saved," in narrow
    assert "author" not in narrow.splitlines()[2]
    assert "not shown" not in wide
    assert "author" in wide.splitlines()[2]
    assert "with a longer warm-up" in wide


def test_a_pipe_gets_every_name_whole(store: saver.Saver) -> None:
    name = fill_with_long_names(store)
    assert name in run("ls").stdout
    output = run("ls", name).stdout
    assert "because " * 39 + "because" in output
    assert "encoder" * 9 in output
    assert all(f"metric_number_{number}" in output for number in range(9))


def test_letters_of_double_width_keep_the_columns_straight(store: saver.Saver) -> None:
    store.save("模型", 1)
    lines = run("ls").stdout.splitlines()[1:]
    iris, other = (next(line for line in lines if name in line) for name in ("iris", "模型"))
    assert iris.index("@") == other.index("@") + 2


def test_hostile_texts_cannot_steer_a_terminal(hostile: Repository) -> None:
    for arguments in (["ls"], ["ls", "evil"], ["ls", "evil", "--json"]):
        done = run(*arguments)
        assert done.exit_code == 0
        assert printable(done.output)
    assert "\\x1b]0;owned" in run("ls", "evil").stdout
    assert printable(text_in_a_terminal("ls", "evil", width=300))
    assert "\x1b]0" not in run_in_a_terminal("ls", "evil", width=300)


def test_a_store_whose_versions_are_all_gone_says_so(store: saver.Saver) -> None:
    for ref in ("iris@1", "iris@2", "iris@3", "team/bert@1"):
        store.delete(ref, tags=True)
    assert run("ls").stdout == "models has no models.\n"
    assert run_json("ls")["models"] == []
    assert "no model 'iris'" in error_of(run("ls", "iris"))


def test_where_there_is_no_store_the_option_is_named() -> None:
    message = error_of(run("ls"))
    assert message.startswith("error: models: there is no store here; ")
    assert "--store" in message
    assert "SAVER_STORE" in message
    assert os.listdir() == []


def test_an_unknown_model_is_reported_with_those_that_are_nearly_called_so(store: saver.Saver) -> None:
    assert "there are iris" in error_of(run("ls", "irs"))
    assert "is not the name of a model" in error_of(run("ls", "no name"))


def test_a_version_cannot_be_listed(store: saver.Saver) -> None:
    assert "`saver show`" in error_of(run("ls", "iris@1"))


def test_the_store_is_that_of_the_option_or_else_of_the_variable(store: saver.Saver) -> None:
    saver.Saver("other").save("apple", 1)
    assert "apple" in run("ls", "--store", "other").stdout
    assert "apple" in run("ls", SAVER_STORE="other").stdout
    assert "iris" in run("ls", "--store", "models", SAVER_STORE="other").stdout
    assert "iris" in run("ls", SAVER_STORE="").stdout
    assert run("ls", "--store", "").exit_code == 2


def test_a_store_of_a_newer_saver_is_refused(newer: Path) -> None:
    before = contents(newer)
    for arguments in (["ls"], ["ls", "iris"]):
        message = error_of(run(*arguments))
        assert "quantum" in message
        assert "install a newer Saver" in message
    assert contents(newer) == before


def test_a_damaged_log_is_damage(store: saver.Saver) -> None:
    os.remove(Path("models", log_key(2)))
    assert log_key(2) in error_of(run("ls"), exit_code=1)


def test_listing_writes_nothing(store: saver.Saver) -> None:
    before = contents(Path("models"))
    for arguments in (["ls"], ["ls", "iris", "--json"]):
        done = run_where_nothing_can_be_written(*arguments)
        assert (done.returncode, done.stderr) == (0, "")
        assert "iris" in done.stdout
    assert contents(Path("models")) == before


# Finding


def test_conditions_and_orders_choose_versions(store: saver.Saver) -> None:
    output = run("ls", "iris", "--where", "loss", "--sort", "loss").stdout
    assert output.startswith("iris: 3 versions\n")
    assert [row[0] for row in table(output)[3:]] == ["@2", "@1", "@3"]
    output = run("ls", "iris", "-w", "loss >= 0.25", "-n", "1").stdout
    assert output.startswith("iris: 2 of 3 versions\n")
    assert table(output)[3][0] == "@2"
    assert "and 1 version: -n 2 lists them all" in output
    assert run("ls", "iris", "-w", "loss > 9").stdout == "iris: 0 of 3 versions\n  tags: first @1\n"
    found = run_json("ls", "iris", "--sort", "worst:loss", "-n", "2")["versions"]
    assert [version["ref"] for version in found] == ["iris@1", "iris@2"]
    assert found[1]["moved"]["changed"] == ["model"]


def test_what_is_not_a_condition_is_misuse_and_an_unknown_name_is_missing(store: saver.Saver) -> None:
    assert "a value was expected" in error_of(run("ls", "iris", "-w", "loss >"), 2)
    assert "'los'; there are metrics: f1, loss" in error_of(run("ls", "iris", "-w", "los > 1"), 3)
    assert "max:foo" in error_of(run("ls", "iris", "-s", "best:foo"), 2)
    assert "'foo'; there are metrics: f1, loss" in error_of(run("ls", "iris", "-s", "foo"), 3)
    for arguments in (["ls"], ["ls", "team/"]):
        assert "saver ls MODEL --where" in error_of(run(*arguments, "--where", "loss"), 2)


def test_a_group_lists_its_models(store: saver.Saver) -> None:
    output = run("ls", "team/").stdout
    assert output.startswith("models: 1 model in team/\n")
    assert [row[0] for row in table(output)[2:]] == ["team/bert"]
    assert run("ls", "none/").stdout == "models has no models in none/.\n"
    assert [each["model"] for each in run_json("ls", "team/")["models"]] == ["team/bert"]
    assert "there are team/bert" in error_of(run("ls", "team"), 3)


def test_a_model_has_what_its_versions_added_to_the_store(store: saver.Saver) -> None:
    (iris, _) = run_json("ls")["models"]
    assert iris["bytes_added"] == sum(version.bytes_added for version in store.versions("iris"))
