"""Comparing stored results from the command line."""

import json

import pytest
from html_page import assert_self_contained
from made_results import make_result

from training.compare import main
from training.presentation.collection import collect_results


def store(folder, **options):
    folder.mkdir(parents=True)
    result = make_result(folder=folder, **options)
    (folder / "result.json").write_text(json.dumps(result), encoding="utf-8")
    return result


def test_folders_of_results_become_one_page(tmp_path, capsys):
    store(tmp_path / "runs" / "a", model="first", scores=("jsd",))
    store(tmp_path / "runs" / "b", model="second", scores=("jsd",), seed=5)
    page = tmp_path / "page.html"
    assert main([str(tmp_path / "runs"), "--output", str(page)]) == 0
    reader = assert_self_contained(page.read_text(encoding="utf-8"))
    assert "first" in reader.text
    assert "second" in reader.text
    assert reader.tags.count("img") == 4
    printed = capsys.readouterr().out
    assert "2 results on one page" in printed
    assert "NFlowJS" in printed


def test_a_result_is_read_once_however_often_it_is_named(tmp_path):
    store(tmp_path / "a")
    places = [tmp_path, tmp_path / "a", tmp_path / "a" / "result.json"]
    ((_, folder),) = collect_results(places)
    assert folder == tmp_path / "a"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "there is no result.json at or under"),
        ("{", "cannot be read as a result"),
        ('{"format": 7}', "is no result of format 1"),
    ],
)
def test_what_is_no_result_is_said_in_one_line(tmp_path, capsys, content, message):
    if content is not None:
        (tmp_path / "result.json").write_text(content, encoding="utf-8")
    with pytest.raises(SystemExit) as stopped:
        main([str(tmp_path), "--output", str(tmp_path / "page.html")])
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
