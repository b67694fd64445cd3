"""The page of the papers' tables: equal to its data, and filled by results."""

import json
from pathlib import Path

import pytest
from made_results import make_result

from training.paper_tables import commands, main, paper_tables
from training.presentation.papers import load_published
from training.presentation.wording import percent

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "paper_tables.md"


def section(text, key):
    return text.split(f"\n## {key} ")[1].split("\n## ")[0]


def our_rows(text):
    return [
        [cell.strip(" *") for cell in line.split("|")[1:-1]]
        for line in text.splitlines()
        if line.startswith("| **")
    ]


def test_the_committed_page_is_what_the_command_prints():
    text = DOCUMENT.read_text(encoding="utf-8")
    command = "python -m training.paper_tables > docs/paper_tables.md"
    assert text == paper_tables(), f"run: {command}"


def test_every_table_every_figure_and_every_contradiction_is_on_the_page():
    text, published = paper_tables(), load_published()
    for table in published.tables.values():
        part = section(text, table.key)
        for row in table.rows:
            assert f"| {row.method} |" in part
            for value in (one for group in row.values for one in group if one is not None):
                assert f" {value.text} |" in part
        assert all(command in part for command in commands(table))
        assert our_rows(part)
    for one in published.contradictions:
        assert f"- {one}" in text
    assert "seed 0" not in text


def test_no_figure_is_ours_before_somebody_measured():
    assert all(not any(row[1:]) for row in our_rows(paper_tables()))


def test_results_fill_their_tables_and_no_others():
    static = make_result(dataset="fishyscapes_static", scores=("jsd",))
    found = make_result(scores=("jsd",), intervals=False)
    text = paper_tables([found, static])
    (row,) = our_rows(section(text, "H02"))
    first = found["scores"]["jsd"]["pixels"]["whole image"]
    second = static["scores"]["jsd"]["pixels"]["whole image"]
    assert row[0] == "swiftnet, JSD"
    assert row[1:3] == [percent(first["AP"]), percent(first["FPR95"])]
    assert row[3].startswith(percent(second["AP"]))
    assert row[-1] == "ours, val, fishyscapes lost and found: 12 of 100 frames"
    assert our_rows(section(text, "H06")) == our_rows(section(paper_tables(), "H06"))


def test_models_of_one_name_have_rows_of_their_own():
    found = [make_result(scores=("jsd",), seed=seed) for seed in (0, 1)]
    for digest, result in zip("ab", found, strict=True):
        result["model"]["weights_sha256"] = digest
    rows = our_rows(section(paper_tables(found), "H02"))
    assert [row[0] for row in rows] == ["swiftnet, JSD (1)", "swiftnet, JSD (2)"]
    assert rows[0][1] != rows[1][1]


def test_bands_are_filled_by_distance():
    result = make_result(
        protocol="lost_and_found_distance", dataset="lost_and_found", split="test",
        scores=("jsd",), distance=True,
    )  # fmt: skip
    text = paper_tables([result])
    bands = result["scores"]["jsd"]["distance"]["bands"]
    (row,) = our_rows(section(text, "H07"))
    assert row[1:10] == [percent(one["FPR95"]) for one in bands]
    precision, rates = our_rows(section(text, "H08"))
    assert precision[1:10] == [percent(one["AP"]) for one in bands]
    assert rates[1:10] == row[1:10]


def test_another_protocol_does_not_fill_a_table():
    result = make_result(protocol="lost_and_found_distance_encoded", dataset="lost_and_found",
                         distance=True)  # fmt: skip
    assert paper_tables([result]) == paper_tables()


def test_the_command_prints_the_page(tmp_path, capsys):
    (tmp_path / "result.json").write_text(json.dumps(make_result()), encoding="utf-8")
    assert main([str(tmp_path)]) == 0
    assert "| **swiftnet, JSD** |" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main([str(tmp_path / "nowhere")])
    assert "no result.json" in capsys.readouterr().err
