"""Training recipes: YAML files read into frozen dataclasses, strictly."""

from training.recipes.negatives import (
    FlowRecipe,
    NegativesRecipe,
    PatchesRecipe,
    SourceOptimisationRecipe,
)
from training.recipes.reading import RecipeError
from training.recipes.recipe import (
    AnyRecipe,
    CropsRecipe,
    FlowOptimisationRecipe,
    FlowTrainingRecipe,
    Recipe,
    load_recipe,
    recipe_from_mapping,
    recipe_to_mapping,
    with_data_root,
)
from training.recipes.sections import (
    AugmentationRecipe,
    DataRecipe,
    NetworkRecipe,
    OptimisationRecipe,
    ScoreRecipe,
    SetRecipe,
    SimulationRecipe,
)

__all__ = [
    "AnyRecipe",
    "AugmentationRecipe",
    "CropsRecipe",
    "DataRecipe",
    "FlowOptimisationRecipe",
    "FlowRecipe",
    "FlowTrainingRecipe",
    "NegativesRecipe",
    "NetworkRecipe",
    "OptimisationRecipe",
    "PatchesRecipe",
    "Recipe",
    "RecipeError",
    "ScoreRecipe",
    "SetRecipe",
    "SimulationRecipe",
    "SourceOptimisationRecipe",
    "load_recipe",
    "recipe_from_mapping",
    "recipe_to_mapping",
    "with_data_root",
]
