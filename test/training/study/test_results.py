"""The study's files: what goes in comes out, and what is wrong is refused with its place."""

import dataclasses
import json
import math

import pytest
from made_study import CONTROL, make_result

from training.study.results.collection import Endpoint, Study, read_study
from training.study.results.files import list_results, read_result, write_result
from training.study.results.plan import Ordering, Plan, PlannedArm, read_plan, write_plan
from training.study.results.reading import ResultError


def same(first, second) -> bool:
    """Equality in which NaN equals NaN."""
    if isinstance(first, float) and isinstance(second, float):
        return first == second or (math.isnan(first) and math.isnan(second))
    if dataclasses.is_dataclass(first):
        names = [one.name for one in dataclasses.fields(first)]
        return type(first) is type(second) and all(
            same(getattr(first, name), getattr(second, name)) for name in names
        )
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[k], second[k]) for k in first)
    if isinstance(first, tuple):
        return len(first) == len(second) and all(map(same, first, second))
    return first == second


def rounded(result):
    """What six decimals leave of the probe's images; the resamples are made with six."""
    images = result.probe.images
    images = dataclasses.replace(
        images,
        before=tuple(round(one, 6) for one in images.before),
        after=tuple(round(one, 6) for one in images.after),
    )
    return dataclasses.replace(result, probe=dataclasses.replace(result.probe, images=images))


def test_a_result_comes_back_as_it_was_written(tmp_path):
    result = make_result(seed=11)
    path = write_result(tmp_path, result)
    assert path == tmp_path / "sealed" / "nflowjs" / "11.json"
    assert same(read_result(path), rounded(result))
    assert list(path.parent.iterdir()) == [path]  # nothing partial is left
    assert not same(read_result(path), rounded(make_result(seed=11, jump=0.2)))


def test_the_file_has_the_keys_that_were_agreed_on(tmp_path):
    content = json.loads(write_result(tmp_path, make_result()).read_text())
    assert set(content) == {
        "study", "arm", "title", "seed", "families", "config_sha256", "code_revision",
        "package_version", "versions", "device", "made", "training", "measured", "probe",
    }  # fmt: skip
    assert set(content["training"]["final"]) == {
        "cross_entropy", "negative", "bits_per_dim", "clamped", "mean_colour"
    }  # fmt: skip
    strata = content["measured"]["strata"]["jsd"]
    assert strata["size"][1] == {
        "AP": CONTROL[2], "FPR95": CONTROL[3], "objects": 30, "positives": 4000, "from": 50.0,
        "to": None,
    }  # fmt: skip
    assert strata["family"]["none"]["AP"] is None
    assert len(content["measured"]["resampled"]["scores"]["msp"]["road"]["FPR95"]) == 40


def test_an_arm_without_training_and_probe_comes_back_too(tmp_path):
    path = write_result(tmp_path, make_result("closed_set", training=None, probe=None))
    assert read_result(path).training is None
    assert read_result(path).probe is None


def at(content, place, value):
    *parents, last = place
    for key in parents:
        content = content[key]
    if value is KeyError:
        del content[last]
    else:
        content[last] = value


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("seeds",), 3, "unknown key 'seeds'; did you mean 'seed'?"),
        (("seed",), KeyError, "seed: expected a value, found nothing"),
        (("seed",), True, "seed: expected a whole number, found True"),
        (("seed",), -1, "a number from 0"),
        (("arm",), "../x", "arm: a key of small letters"),
        (("config_sha256",), "ab", "64 hexadecimal digits"),
        (("made",), "yesterday", "an ISO date"),
        (("families",), "hidden", "families: expected Literal"),
        (("families",), "development", "but sealed measured"),
        (("measured",), [], "measured: expected an object"),
        (("measured", "images"), 0, "measured: images: at least one"),
        (("measured", "scores", "jsd", "whole", "AP"), "0.5", "whole.AP: expected a number"),
        (("measured", "scores", "jsd", "whole", "AP"), 1.5, "fractions between 0 and 1, not 1.5"),
        (("measured", "scores", "jsd", "whole", "AP"), None, "fractions between 0 and 1, not nan"),
        (("measured", "scores", "jsd", "road"), KeyError, "scores.jsd: expected whole, road"),
        (("measured", "scores", "msp"), KeyError, "resampled: msp were not measured"),
        (("measured", "resampled", "count"), 41, "mIoU has 40 of 41 resamples"),
        (("measured", "resampled", "scores"), {}, "resampled: no score"),
        (
            ("measured", "resampled", "scores", "msp", "road", "AP", 3), 2.0,
            "scores.msp.road.AP: fractions",
        ),
        (("measured", "strata", "jsd", "family", "ball", "objects"), 1.5, "ball.objects"),
        (("measured", "strata", "jsd", "distance", 1, "from"), KeyError, "distance[1].from"),
        (("measured", "null", "prevalence", "whole"), KeyError, "prevalence: expected whole"),
        (("training", "final", "mean_colour"), [1, 2], "training.final.mean_colour"),
        (("training", "final", "surprise"), 1, "unknown key 'training.final.surprise'"),
        (("probe", "images", "after"), [0.5], "20 images before and 1 after"),
        (("versions", "torch"), 2, "versions.torch: expected text"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused_with_file_and_place(tmp_path, place, value, message):
    path = write_result(tmp_path, make_result())
    content = json.loads(path.read_text())
    at(content, place, value)
    path.write_text(json.dumps(content))
    with pytest.raises(ResultError) as caught:
        read_result(path)
    assert str(path) in str(caught.value)
    assert message in str(caught.value)


def test_files_that_are_no_json_are_refused(tmp_path):
    path = write_result(tmp_path, make_result())
    text = path.read_text()
    path.write_text(text.replace("0.012", "NaN"))
    with pytest.raises(ResultError, match=r"0\.json: NaN is no JSON"):
        read_result(path)
    path.write_text(text[:100])
    with pytest.raises(ResultError, match=r"cannot read .*0\.json"):
        read_result(path)
    with pytest.raises(ResultError, match="cannot read"):
        read_result(tmp_path / "nowhere.json")


def test_an_infinite_figure_is_not_written(tmp_path):
    wrong = make_result(versions={}, device={"load": math.inf})
    with pytest.raises(ValueError, match="Out of range"):
        write_result(tmp_path, wrong)
    assert not list(tmp_path.rglob("*.json"))


def test_a_result_lies_where_it_belongs(tmp_path):
    path = write_result(tmp_path, make_result(seed=3))
    moved = path.with_name("4.json")
    path.rename(moved)
    with pytest.raises(ResultError, match=r"belongs to sealed/nflowjs/3\.json"):
        read_result(moved)


def test_results_are_listed_by_group_arm_and_number(tmp_path):
    for seed in (10, 2, 1):
        write_result(tmp_path, make_result("b", seed))
    write_result(tmp_path, make_result("a", 5))
    write_result(tmp_path, make_result("a", 6, families="development"))
    places = [f"{path.parent.name}/{path.stem}" for path in list_results(tmp_path, "sealed")]
    assert places == ["a/5", "b/1", "b/2", "b/10"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"config_sha256": "cd" * 32}, "config_sha256"),
        ({"study": "another"}, "study"),
        ({"images": 100}, "images"),
        ({"draws": 1}, "resampled.seed"),
    ],
)
def test_results_that_do_not_belong_together_are_refused(tmp_path, changes, message):
    write_result(tmp_path, make_result("control"))
    other = make_result("nflowjs")
    measured = other.measured
    if images := changes.pop("images", None):
        measured = dataclasses.replace(measured, images=images)
    if draws := changes.pop("draws", None):
        resampled = dataclasses.replace(measured.resampled, seed=draws)
        measured = dataclasses.replace(measured, resampled=resampled)
    write_result(tmp_path, dataclasses.replace(other, measured=measured, **changes))
    with pytest.raises(ResultError, match=f"control/0.json differ in {message}"):
        read_study(tmp_path, "sealed")
    assert not read_study(tmp_path, "development").arms


def test_groups_of_families_never_mix(tmp_path):
    write_result(tmp_path, make_result("nflowjs", 0))
    write_result(tmp_path, make_result("nflowjs", 1, families="development"))
    assert read_study(tmp_path, "sealed").seeds("nflowjs") == (0,)
    assert read_study(tmp_path, "development").seeds("nflowjs") == (1,)


def test_an_arm_has_one_title(tmp_path):
    write_result(tmp_path, make_result(seed=0))
    write_result(tmp_path, make_result(seed=1, title="other"))
    with pytest.raises(ResultError, match="called Nflowjs and other"):
        read_study(tmp_path, "sealed")


def test_seeds_and_scores_are_those_that_all_have():
    first, second = make_result("a", 0), make_result("a", 1)
    scores = {name: second.measured.scores[name] for name in ("jsd", "msp")}
    resampled = dataclasses.replace(
        second.measured.resampled, scores={"jsd": second.measured.resampled.scores["jsd"]}
    )
    measured = dataclasses.replace(
        second.measured, scores=scores, resampled=resampled,
        strata={"jsd": second.measured.strata["jsd"]},
    )  # fmt: skip
    second = dataclasses.replace(second, measured=measured)
    study = Study("sealed", {"a": {0: first, 1: second}, "b": {1: make_result("b", 1)}})
    assert study.seeds("a") == (0, 1)
    assert study.seeds("a", "b") == (1,)
    assert study.seeds("a", "c") == ()
    assert set(study.scores("a")) == {"jsd", "msp"}
    assert study.scores("a", resampled=True) == ("jsd",)
    assert study.scores("c") == ()
    values = study.values("a", (1, 0), "jsd", Endpoint("FPR95", "road"))
    assert values.tolist() == [CONTROL[3]] * 2
    assert study.resampled("a", (0, 1), "jsd", Endpoint("AP", "whole")).shape == (2, 40)


def test_a_plan_comes_back_and_is_checked(tmp_path):
    assert read_plan(tmp_path) == Plan()
    plan = Plan(
        score="entropy",
        arms=(PlannedArm("gan", "GAN", 3),),
        orderings=(Ordering("nflowjs", "gan", "a table"),),
        frozen={"commit": "abc"},
    )
    write_plan(tmp_path / "new", plan)
    assert read_plan(tmp_path / "new") == plan
    (tmp_path / "plan.json").write_text('{"margin": 2}')
    with pytest.raises(ResultError, match=r"plan\.json: margin: a fraction"):
        read_plan(tmp_path)
