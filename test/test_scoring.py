"""Names of scorings: what they mean, that they survive their round trip, and every refusal."""

from __future__ import annotations

import math
import re
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from open_set_seg.interventions import INTERVENTIONS, MCDropout, Odin, ReAct
from open_set_seg.postprocessing import (
    POSTPROCESSING,
    BoundarySuppression,
    Erosion,
    GroundFocus,
)
from open_set_seg.scores import SCORES
from open_set_seg.scoring import Scoring, ScoringError, describe_names

INTERVENED = st.one_of(
    st.none(),
    st.builds(Odin, st.floats(0.0, 1.0), st.floats(0.0, 1e6, exclude_min=True)),
    st.builds(ReAct, st.floats(0.0, 1.0, exclude_min=True)),
    st.builds(
        MCDropout,
        st.floats(0.0, 1.0, exclude_min=True, exclude_max=True),
        st.integers(2, 1000),
        st.integers(0, 2**63 - 1),
    ),
)
STEP = st.one_of(
    st.just(GroundFocus()),
    st.builds(Erosion, st.integers(0, 100)),
    st.builds(BoundarySuppression, st.integers(0, 32), st.integers(0, 32)),
)


@st.composite
def scorings(draw):
    score, intervention = draw(st.sampled_from(sorted(SCORES))), draw(INTERVENED)
    needs = SCORES[score].needs
    if "samples" in needs:
        intervention = MCDropout()
    if intervention is not None and not set(needs) & set(intervention.changes):
        intervention = Odin()
    temperature = None
    if SCORES[score].temperature is not None:
        temperature = draw(st.none() | st.floats(0.0, 1e6, exclude_min=True))
    steps = tuple(draw(st.lists(STEP, max_size=3)))
    return Scoring(score, temperature, intervention, draw(st.booleans()), steps)


@settings(max_examples=300, deadline=None)
@given(scorings())
def test_a_name_means_its_scoring_to_the_last_digit(scoring):
    name = str(scoring)
    assert Scoring.parse(name) == scoring
    assert str(Scoring.parse(name)) == name
    assert " " not in name


@pytest.mark.parametrize("name", sorted(SCORES))
def test_every_score_is_a_name(name):
    if "samples" in SCORES[name].needs:
        name = f"mc_dropout+{name}"
    assert str(Scoring.parse(name)) == name


def test_parts_may_stand_in_any_order_but_steps_keep_theirs():
    found = Scoring.parse("erosion+energy:temperature=2+coarse+odin:epsilon=0.001+ground_focus")
    assert found == Scoring("energy", 2.0, Odin(0.001), True, (Erosion(), GroundFocus()))
    assert str(found) == "odin:epsilon=0.001+coarse+energy:temperature=2+erosion+ground_focus"
    again = Scoring.parse("ground_focus+energy+erosion:radius=3+erosion")
    assert again.steps == (GroundFocus(), Erosion(3), Erosion())


def test_numbers_are_short_and_hold_no_plus():
    assert str(Scoring("jsd", 1e6)) == "jsd:temperature=1e06"
    assert str(Scoring("jsd", 0.1)) == "jsd:temperature=0.1"
    assert str(Scoring("jsd", 0.123456789)) == "jsd:temperature=0.123456789"
    assert str(Scoring("msp", None, MCDropout(seed=12345678))) == "mc_dropout:seed=12345678+msp"
    assert str(Scoring("msp", None, Odin())) == "odin+msp"


def test_what_a_scoring_says_of_itself():
    jsd, energy = Scoring.parse("jsd"), Scoring.parse("energy")
    assert (jsd.bounded, jsd.lowest) == (True, 0.0)
    assert (energy.bounded, energy.lowest) == (False, -math.inf)
    assert Scoring.parse("sml").statistics == ("max_logit_mean", "max_logit_deviation")
    react = Scoring.parse("react+sml")
    assert react.statistics == (*SCORES["sml"].fields, "activation_levels", "activation_quantiles")
    wanted = {"mahalanobis", "react+energy", "mc_dropout+msp"}
    names = [*wanted, "jsd", "odin+msp", "dense_hybrid", "sml"]
    assert {name for name in names if Scoring.parse(name).needs_features} == wanted


REFUSED = {
    "": "unknown score ''",
    "magic": "unknown score 'magic'; scores are jsd, msp",
    "JSD": "unknown score 'JSD'",
    "jsd + coarse": "unknown score 'jsd '",
    "coarse": "'coarse' holds no score",
    "odin+ground_focus": "holds no score",
    "jsd+msp": "holds two scores, jsd and msp",
    "jsd+jsd": "holds two scores",
    "odin+react+jsd": "holds two interventions",
    "coarse+jsd+coarse": "says coarse twice",
    "coarse:much=1+jsd": "coarse has no settings",
    "jsd:temperature": "expected a number for temperature, found ''",
    "jsd:temperature=warm": "expected a number for temperature, found 'warm'",
    "jsd:temperature=nan": "expected a finite temperature",
    "jsd:temperature=inf": "expected a finite temperature",
    "jsd:temperature=0": r"expected a temperature in \(0, 1e6\], found 0",
    "jsd:temperature=-1": "expected a temperature",
    "jsd:temperature=1e7": "expected a temperature",
    "jsd:temperature=1:temperature=2": "jsd has one setting, temperature",
    "jsd:heat=1": "jsd has no setting 'heat'; known are temperature",
    "dense_hybrid:temperature=2": "dense_hybrid has no setting 'temperature'; it has none",
    "sml:temperature=2:temperature=2": "sml has no setting 'temperature'",
    "odin:epsilon=-1+msp": r"odin: expected epsilon in \[0, 1\], found -1.0",
    "odin:temperature=0+msp": "odin: expected temperature in",
    "odin:step=1+msp": "odin has no setting 'step'; known are epsilon, temperature",
    "odin:epsilon=0.1:epsilon=0.2+msp": "odin is told the same setting twice",
    "react:quantile=0+msp": "react: expected quantile in",
    "react:quantile=1.5+msp": "react: expected quantile in",
    "mc_dropout:rate=1+msp": "mc_dropout: expected rate in",
    "mc_dropout:samples=1+msp": "mc_dropout: expected samples in 2 to 1000, found 1",
    "mc_dropout:samples=2.5+msp": "expected a number for samples, found '2.5'",
    "mc_dropout:seed=-1+msp": "mc_dropout: expected a seed from 0",
    "erosion:radius=-1+jsd": "erosion: expected radius in 0 to 100, found -1",
    "erosion:size=3+jsd": "erosion has no setting 'size'; known are radius",
    "jsd+ground_focus:size=3": "ground_focus has no setting 'size'; it has none",
    "jsd+boundary_suppression:width=33": "expected width in 0 to 32, found 33",
    "jsd+boundary_suppression:dilation=-1": "expected dilation in 0 to 32, found -1",
    "mutual_information": "needs samples: write mc_dropout.mutual_information",
    "odin+mutual_information+erosion": "needs samples: write mc_dropout.mutual_information",
    "react+mahalanobis": "the intervention changes nothing that mahalanobis reads",
    "mc_dropout+embedding_density": "changes nothing that embedding_density reads",
    "react+op": "changes nothing that op reads",
}


@pytest.mark.parametrize("name", REFUSED)
def test_other_names_are_refused_in_one_line(name):
    with pytest.raises(ScoringError, match=REFUSED[name]) as caught:
        Scoring.parse(name)
    assert "\n" not in str(caught.value)


def test_every_part_is_listed():
    text = describe_names()
    for part in (*SCORES, *INTERVENTIONS, *POSTPROCESSING, "coarse"):
        assert part in text
    assert "\n" not in text


def test_the_page_of_scores_has_a_row_for_each_with_its_settings_and_defaults():
    page = (Path(__file__).resolve().parent.parent / "docs" / "scores.md").read_text("utf-8")
    cells = [row.strip("| ").split(" | ") for row in page.splitlines() if row.startswith("| `")]
    rows = {row[0].strip("`+"): row for row in cells}
    assert set(SCORES) <= set(rows)
    for name, score in SCORES.items():
        temperature = "-" if score.temperature is None else f"{score.temperature:g}"
        assert rows[name][3] == temperature, name
        assert rows[name][2].startswith("[0" if score.bounded else "unbounded"), name
        fitted, outlier = "statistics" in score.needs, "outlier_logits" in score.needs
        assert (rows[name][4] == "`fit`") == fitted, name
        assert (rows[name][4] == "outlier head") == outlier, name
    for name, kind in {**INTERVENTIONS, **POSTPROCESSING}.items():
        for setting in fields(kind):
            assert re.search(rf"`{setting.name}` \({setting.default:g}[,;)]", rows[name][2]), name
