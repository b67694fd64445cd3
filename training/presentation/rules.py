"""The rules of a protocol in words, for readers of a report."""

from __future__ import annotations

from open_set_seg.metrics.protocols import PROTOCOLS, PixelRule, Protocol

_OPERATING_POINTS = {
    "at_least": "the first threshold from the top with TPR >= {tpr} %",
    "above": "the first threshold from the top with TPR > {tpr} %",
    "above_thinned": (
        "the first threshold from the top with TPR > {tpr} %, of those that scikit-learn's "
        "roc_curve keeps"
    ),
    "closest": "the threshold with the TPR closest to {tpr} %",
}
_CURVES = {
    "exact": "Every distinct score is a threshold.",
    "smiyc_binned": "Thresholds are 768 quantiles a frame, as in SegmentMeIfYouCan's code.",
}
_DISPARITIES = {
    "official": (
        "Distance: disparity is code / 256, pixels without one take the largest distance of their "
        "image, as the published evaluation does."
    ),
    "encoded": (
        "Distance: disparity is (code - 1) / 256, as its format says; pixels without one are left "
        "out."
    ),
}


def rule_sentences(protocol: str) -> list[str]:
    """How the protocol counts, a sentence each; empty for a protocol that is not known here."""
    rules = PROTOCOLS.get(protocol)
    if rules is None:
        return []
    return [*(_pixel_sentences(rules.pixels) if rules.regions else ()), *_other_sentences(rules)]


def pools_images(protocol: str) -> bool:
    """Whether the protocol's figures are means over images rather than of all pixels together."""
    rules = PROTOCOLS.get(protocol)
    return rules is not None and rules.pixels.pooling == "images"


def _pixel_sentences(rule: PixelRule) -> list[str]:
    pooling = (
        "All pixels of all images form one sample."
        if rule.pooling == "pixels"
        else "Every image is measured by itself; figures are means over the images that hold both "
        "outliers and inliers."
    )
    point = _OPERATING_POINTS[rule.operating_point].format(tpr=f"{100 * rule.tpr:g}")
    return [
        pooling,
        _CURVES[rule.curve],
        "AP is the step sum of precision over recall, without interpolation.",
        f"FPR95 is read at {point}.",
    ]


def _other_sentences(rules: Protocol) -> list[str]:
    sentences = []
    if rules.components is not None:
        sentences.append(
            "Components are 8-connected at the threshold of the best pixel F1; predicted ones "
            f"under {rules.components.min_predicted_px} px are dropped, true ones under "
            f"{rules.components.min_true_px} px ignored."
        )
    if rules.distance is not None:
        sentences.append(_DISPARITIES[rules.distance.disparity])
    if rules.closed_set:
        sentences.append(
            "Closed mIoU: one confusion matrix of all pixels with a known class, mean over the "
            "classes that occur."
        )
    if rules.open_set is not None:
        one, other = rules.open_set.groups
        sentences.append(
            f"Open set: the threshold for {one} is the first from the top with TPR > "
            f"{100 * rules.open_set.tpr:g} % on {other}, and the other way round, found at "
            f"{rules.open_set.scale:g} of the image size."
        )
    if rules.repeats > 1:
        sentences.append(
            f"The data set is made at random {rules.repeats} times: means and standard deviations."
        )
    return sentences
