"""What is looked at while a segmentation network is trained, and once more at its end."""

from __future__ import annotations

from open_set_seg.label_spaces import LABEL_SPACES
from training.data import ValidationData
from training.pictures import draw_predictions, draw_samples, picture_sizes
from training.run_state import RunFolder
from training.steps import SegmentationObjective
from training.validation import Validation, Validator


class Examiner:
    """Looks at what is trained: figures, and pictures into the folder of the run.

    Args:
        objective: that is trained.
        data: that it is validated on.
        run: its folder.
    """

    def __init__(
        self, objective: SegmentationObjective, data: ValidationData, run: RunFolder
    ) -> None:
        self._objective = objective
        self._validator = Validator(objective.recipe, data)
        self._run = run

    def look(self, step: int) -> Validation:
        """The network after so many steps."""
        objective, recipe = self._objective, self._objective.recipe
        validation = self._validator.validate(objective.network)
        if objective.source is not None and recipe.negatives is not None:
            sizes = picture_sizes(*recipe.negatives.patches.sizes)
            self._run.show(step, "negatives", draw_samples(objective.source, sizes, recipe.seed))
        images = self._validator.examples()
        if images:
            space = LABEL_SPACES[recipe.label_space]
            picture = draw_predictions(
                objective.network, images, recipe.score, space, validation.score_map
            )
            self._run.show(step, "predictions", picture)
        return validation
