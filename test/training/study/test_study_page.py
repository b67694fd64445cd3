"""The study's page: right numbers and right words, whatever part of the study is there."""

import dataclasses
import io
import re

import numpy as np
import pytest
from made_study import make_arm, make_result
from PIL import Image

from training.study.page.__main__ import main
from training.study.page.numbers import digits_of, mean_cell, signed_points
from training.study.page.page import PAGE, RESULTS, page_text, write_page
from training.study.results.collection import read_study
from training.study.results.files import result_path, write_result
from training.study.results.plan import Ordering, Plan, PlannedArm, write_plan
from training.study.results.reading import ResultError

OURS = (0.20, 0.25, 0.45, 0.15)
PLAN = Plan(
    arms=(
        PlannedArm("nflowjs", "NFlowJS", 8),
        PlannedArm("control", "Control", 8),
        PlannedArm("likelihood_only", "Likelihood only", 8),
        PlannedArm("fractal_noise", "Fractal noise", 8),
        PlannedArm("gan", "GAN", 3),
    ),
    orderings=(Ordering("nflowjs", "gan", "NFlowJS 2024, table 8"),),
    frozen={"config_sha256": "ab" * 32, "commit": "fedcba"},
)


def put(folder, *arms):
    for seeds in arms:
        for result in seeds.values():
            write_result(folder, result)


def full_study(folder, families="sealed"):
    put(
        folder,
        make_arm("nflowjs", OURS, families=families),
        make_arm("control", families=families, jump=0.08),
        make_arm("likelihood_only", (0.12, 0.4, 0.3, 0.25), families=families),
        make_arm("fractal_noise", (0.13, 0.4, 0.55, 0.15), families=families),
        make_arm("gan", (0.1, 0.45, 0.3, 0.24), seeds=3, families=families),
    )
    write_plan(folder, PLAN)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Page and plots of a finished study with made-up results."""
    folder = tmp_path_factory.mktemp("study")
    full_study(folder / "results")
    full_study(folder / "results", "development")
    (folder / "page").mkdir()
    (folder / "page" / "notes.md").write_text("### By hand\n\nThis helped: | nothing |.\n")
    written = write_page(folder / "results", folder / "page.md")
    return folder, (folder / "page.md").read_text(encoding="utf-8"), written


def section(text, title):
    return text.split(f"## {title}\n")[1].split("\n## ")[0]


def rows_of(text):
    """Cells of the rows of all tables in a text."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def row_of(text, *starts):
    (row,) = [row for row in rows_of(text) if tuple(row[: len(starts)]) == starts]
    return row


def test_every_table_is_rectangular(finished):
    _, text, _ = finished
    blocks = re.findall(r"(?:^\|.*\n)+", text.replace(r"\|", "/"), re.MULTILINE)
    assert len(blocks) > 15
    for block in blocks:
        counts = {line.count("|") for line in block.splitlines()}
        assert len(counts) == 1, block
        assert re.fullmatch(r"\|( -+:? \|)+", block.splitlines()[1])


def test_the_headline_holds_means_deviations_and_seeds(finished):
    _, text, _ = finished
    row = row_of(section(text, "Results"), "**Nflowjs**", "JSD")
    values = 100 * np.array(
        [result.measured.scores["jsd"]["whole"].AP for result in make_arm("nflowjs", OURS).values()]
    )
    assert row[2] == "8"
    assert row[3].startswith(f"{values.mean():.1f} ± {values.std(ddof=1):.1f} (")
    low, high = map(float, re.search(r"\((.*) to (.*)\)", row[3]).groups())
    assert low < values.mean() < high
    assert row[7] == "60.0 ± 0.0"
    assert row_of(section(text, "Results"), "Gan *(exploratory)*", "JSD")[2] == "3"
    best = row_of(section(text, "Results"), "Control", "its best for each endpoint")
    assert best[3].endswith("; JSD)")


def test_the_differences_hold_tests_and_words(finished):
    _, text, _ = finished
    part = section(text, "Differences")
    assert "**Nflowjs minus Control, 8 seeds**" in part
    tables = part.split("**Nflowjs minus ")[1:]
    assert [one.split(",")[0] for one in tables] == ["Control", "Likelihood_only", "Fractal_noise"]
    row = row_of(tables[0], "AP, whole image ↑", "JSD")
    assert row[2].startswith("+15.") or row[2].startswith("+14.")
    assert row[3:6] == ["8 of 8", "0.0078", "0.0312"]
    assert row[6].startswith("improves whole-image AP by 1")
    assert row[6].endswith("on the synthetic benchmark, sealed families")
    row = row_of(tables[2], "FPR95, road ↓", "JSD")
    assert row[6] == "shows no road FPR95 difference"
    assert row_of(tables[2], "AP, road ↑", "JSD")[6].startswith("worsens (lowers) road AP by")
    assert "Fractal_noise is significantly better than Nflowjs in: **road AP**" in part


def test_aims_say_what_was_missed_and_by_how_much(finished):
    _, text, _ = finished
    rows = rows_of(section(text, "Aims"))[2:]
    assert [row[3].split(" by ")[0] for row in rows] == [
        "reached", "reached", "reached", "reached", "**missed"
    ]  # fmt: skip
    assert rows[4][1:] == ["at most 0", "1", "**missed by 1 endpoint**"]
    assert rows[0][0] == "AP on the whole image at least 3 times the control's"
    assert rows[3][1] == "at least −0.50"


def test_probe_chance_training_and_strata_are_told(finished):
    _, text, _ = finished
    checks = section(text, "Checks")
    assert row_of(checks, "Nflowjs", "8")[2:] == [
        "0.400", "0.500", "0.100", "+0.020 (+0.020 to +0.020)"
    ]  # fmt: skip
    assert row_of(checks, "Control", "8")[5] == "–"
    assert row_of(checks, "Nflowjs", "1.20")[2:5] == ["1.25", "3.60", "3.70"]
    training = row_of(section(text, "Training"), "Nflowjs")
    assert training[2:7] == ["600", "123", "0.500", "0.250", "3.900"]
    assert training[7:] == ["1.0 (1.0)", "0.40 0.50 0.60"]
    strata = section(text, "By distance, size and family")
    headers = [row for row in rows_of(strata) if row[0] in ("arm", "family")]
    assert [row[1] for row in headers] == ["5–10 m"] * 2 + ["20–50 px"] * 2 + [
        "objects; pixels"
    ] * 2
    assert headers[2][2] == "from 50 px"
    assert headers[4][2:4] == ["Nflowjs, JSD", "Control, JSD"]
    rows = [row for row in rows_of(strata) if row[0] == "none"]
    assert rows[0][1:3] == ["–", "–"]


def test_orderings_are_told_without_sizes(finished):
    _, text, _ = finished
    row = row_of(section(text, "Orderings of the papers"), "Nflowjs before Gan", "3")
    assert row[2] == "same ordering as NFlowJS 2024, table 8 in all 4 endpoints"


def test_the_page_says_where_it_comes_from(finished):
    _, text, _ = finished
    asked = section(text, "What was asked")
    assert f"`{'ab' * 32}`" in asked
    assert "`0123456789`" in asked
    assert "200 rendered road scenes" in asked
    assert "8 seeds (0, 1, 2, 3, 4, 5, 6, 7) of the main arms" in asked
    assert "a device" in asked
    assert "frozen before sealed families were met: this configuration, commit fedcba" in asked
    assert "Unfinished" not in text
    assert "Development families" not in text


def test_notes_are_taken_over_as_they_are(finished):
    _, text, _ = finished
    part = section(text, "What helped and what did not")
    assert part.strip() == "### By hand\n\nThis helped: | nothing |."


def test_development_stands_at_the_end_and_by_itself(finished):
    _, text, _ = finished
    part = text.split("## On the development families\n")[1]
    assert "## " not in part
    assert row_of(part, "**Nflowjs**", "JSD")


def test_plots_are_small_pictures_that_the_page_shows(finished):
    folder, text, written = finished
    assert [path.name for path in written] == [
        "page.md", "endpoints.png", "tradeoff.png", "distance.png"
    ]  # fmt: skip
    for path in written[1:]:
        assert f"](page/{path.name})" in text
        content = path.read_bytes()
        assert 5_000 < len(content) < 80_000
        picture = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
        assert picture.shape[1] > 800
        assert (picture[0] > 250).all()  # light ground
        assert (picture.std(axis=(0, 1)) > 5).all()
    assert folder.joinpath("page").is_dir()


def test_the_page_is_the_same_every_time(finished):
    folder, _, written = finished
    before = [path.read_bytes() for path in written]
    assert write_page(folder / "results", folder / "page.md") == written
    assert [path.read_bytes() for path in written] == before


def test_development_families_alone_claim_nothing(tmp_path):
    full_study(tmp_path, "development")
    text = page_text(read_study(tmp_path, "development"), PLAN)
    assert "nothing below is a claim" in " ".join(text.replace("\n> ", " ").split())
    assert "improves" not in text
    assert "exploratory: whole-image AP better in 8 of 8 seeds, no claim" in text


def test_an_unfinished_study_says_what_is_missing(tmp_path):
    put(tmp_path, make_arm("nflowjs", OURS, seeds=2), make_arm("fractal_noise", OURS, seeds=1))
    text = page_text(read_study(tmp_path, "sealed"), PLAN)
    for line in ("NFlowJS: 2 of 8 seeds", "Control: 0 of 8 seeds", "GAN: 0 of 3 seeds"):
        assert f"> - {line}\n" in text
    assert "Nflowjs and control have no seed in common yet." in text
    assert "**Nflowjs minus Fractal_noise, 1 seeds**" not in text
    assert "**Nflowjs minus Fractal_noise, 1 seed**" in text
    assert "improves" not in text
    aims = rows_of(section(text, "Aims"))[2:]
    assert [row[3] for row in aims[:4]] == ["not measured yet"] * 4


@pytest.mark.parametrize("arm", ["nflowjs", "control", "gan"])
def test_any_single_arm_makes_a_page(tmp_path, arm):
    put(tmp_path, make_arm(arm, seeds=1, training=None, probe=None))
    write_page(tmp_path, tmp_path / "page.md", Plan())
    text = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert arm.capitalize() in section(text, "Results")
    assert "improves" not in text
    assert "nan" not in text.lower().split()
    assert "## Training" not in text


def test_sealed_results_of_another_configuration_than_the_frozen_one_are_refused(tmp_path):
    put(tmp_path, make_arm("nflowjs", seeds=1, config_sha256="cd" * 32))
    write_plan(tmp_path, PLAN)
    with pytest.raises(ResultError, match=r"configuration cdcd.*, frozen was abab"):
        write_page(tmp_path, tmp_path / "page.md")
    assert not (tmp_path / "page.md").exists()


def test_sealed_results_without_a_frozen_configuration_claim_nothing(tmp_path):
    put(tmp_path, make_arm("nflowjs", OURS), make_arm("fractal_noise"))
    text = page_text(read_study(tmp_path, "sealed"), Plan())
    assert "frozen before sealed families were met: no, so nothing here is a claim" in text
    assert "improves" not in text


def test_an_empty_study_says_so(tmp_path):
    assert write_page(tmp_path, tmp_path / "page.md") == [tmp_path / "page.md"]
    assert "Nothing has been measured yet." in (tmp_path / "page.md").read_text()


def test_the_command_tells_what_is_wrong_in_one_line(tmp_path, capsys):
    arguments = ["--results", str(tmp_path), "--output", str(tmp_path / "page.md")]
    assert main(arguments) == 0
    assert f"written to {tmp_path / 'page.md'}" in capsys.readouterr().out
    put(tmp_path, {0: make_result()})
    path = result_path(tmp_path, "sealed", "nflowjs", 0)
    path.write_text(path.read_text().replace('"seed": 0', '"seed": "x"', 1))
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "0.json: seed: expected a whole number, found 'x'" in capsys.readouterr().err


def test_no_more_digits_are_printed_than_are_known():
    assert digits_of(0.10, 0.35) == 0
    assert digits_of(0.10, 0.25) == 1
    assert mean_cell([0.1234, 0.4234]).text == "27 ± 21"
    assert mean_cell([0.1234]).text == "12.3"
    assert mean_cell([float("nan")]).text == "–"
    assert mean_cell([0.1, float("nan"), 0.2]).text == "15.0 ± 7.1"
    assert [signed_points(one) for one in (0.012, -0.012, 0.0)] == ["+1.2", "−1.2", "0.0"]


def test_clamped_samples_stand_out(tmp_path):
    seeds = make_arm("nflowjs", OURS, seeds=2)
    training = seeds[1].training
    final = dataclasses.replace(training.final, clamped=0.37)
    seeds[1] = dataclasses.replace(seeds[1], training=dataclasses.replace(training, final=final))
    put(tmp_path, seeds)
    text = page_text(read_study(tmp_path, "sealed"), PLAN)
    assert "**19.0** (37.0)" in section(text, "Training")


@pytest.mark.skipif(not PAGE.exists(), reason="nothing has been measured yet")
def test_the_committed_page_is_what_the_command_writes(tmp_path):
    notes = PAGE.with_suffix("") / "notes.md"
    target = tmp_path / PAGE.name
    target.with_suffix("").mkdir()
    if notes.exists():
        (target.with_suffix("") / "notes.md").write_bytes(notes.read_bytes())
    for path in write_page(RESULTS, target)[1:]:
        assert (PAGE.with_suffix("") / path.name).exists()
    assert target.read_bytes() == PAGE.read_bytes(), "run: python -m training.study.page"
