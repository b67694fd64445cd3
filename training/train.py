"""Training: ``python -m training.train RECIPE.yaml [section.key=value ...]``.

A recipe's ``task`` says what is trained: a segmentation network, on known classes or jointly with a
source of negatives (NFlowJS), or a normalizing flow. Under ``torchrun`` the processes share each
batch.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from open_set_seg.backends import choose_device
from training.flow_training import train_flow
from training.ranks import Ranks
from training.recipes import AnyRecipe, FlowTrainingRecipe, load_recipe, with_data_root
from training.run_state import RunFolder
from training.segmentation import train_segmentation


def train(
    recipe: AnyRecipe,
    output: str | Path,
    resume: bool = False,
    progress: bool = True,
    device: str = "auto",
    tensorboard: bool = False,
) -> Path:
    """Run a recipe to its end; the path of what it made.

    That is ``<output>/model.safetensors``, a checkpoint, or ``<output>/flow.safetensors``. A joint
    training leaves both.

    Raises:
        RecipeError: the output folder holds another run, or parts of the recipe do not fit.
        DatasetError: data that are not where the recipe says.
        WeightsError: ImageNet weights that do not fit.
    """
    ranks = Ranks.join()
    # Only the first process can find that the folder holds another run, and it tells the others.
    run = ranks.after_first(
        lambda: RunFolder(output, recipe, resume, tensorboard, writes=ranks.rank == 0)
    )
    chosen = choose_device(device)
    if chosen.type == "cuda" and ranks.count > 1 and ":" not in device:
        chosen = torch.device("cuda", ranks.local % torch.cuda.device_count())
        torch.cuda.set_device(chosen)
    if isinstance(recipe, FlowTrainingRecipe):
        return train_flow(recipe, run, chosen, ranks, progress)
    return train_segmentation(recipe, run, chosen, ranks, progress)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; exit code 0, or 2 with what is wrong, or 130 where it was stopped."""
    parser = argparse.ArgumentParser(prog="python -m training.train", description=__doc__)
    parser.add_argument("recipe", type=Path, help="YAML file in config/training")
    parser.add_argument("overrides", nargs="*", help="section.key=value")
    parser.add_argument(
        "--data", type=Path, metavar="ROOT", help="folder of the data sets, for the recipe's roots"
    )
    parser.add_argument("--output", type=Path, help="folder of the run (runs/<name>)")
    parser.add_argument("--resume", action="store_true", help="continue the run in that folder")
    parser.add_argument("--threads", type=int, help="threads of the network's arithmetic")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--tensorboard", action="store_true", help="log for TensorBoard as well")
    options = parser.parse_intermixed_args(arguments)
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    try:
        recipe = load_recipe(options.recipe, options.overrides)
        if options.data is not None:
            recipe = with_data_root(recipe, options.data)
        path = train(
            recipe,
            options.output or Path("runs") / recipe.name,
            options.resume,
            device=options.device,
            tensorboard=options.tensorboard,
        )
        leads = Ranks.join().rank == 0
    except (ValueError, OSError) as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    except KeyboardInterrupt:
        parser.exit(130, f"{parser.prog}: stopped; --resume goes on from the last saved step\n")
    if leads:
        print(f"wrote {path} ({path.stat().st_size / 1e6:.2f} MB)")
    return 0


if __name__ == "__main__":
    Ranks.end(main)
