"""What test_ranks.py starts under torchrun: one rank's view of a step, and of an error of the other rank."""

import sys
from pathlib import Path

import torch
from small_model import CAPTIONS, TILE_METRES, batch_of, changed, gradients, learner_of, masked

from geomeld.core.errors import DatasetError, GeoMeldError
from geomeld.modalities import TARGETS
from geomeld.pretrain.faults import check_finite
from geomeld.pretrain.objectives import Contrast, Jepa, Reconstruction
from geomeld.pretrain.ranks import ranks
from geomeld.pretrain.step import Step

OBJECTIVES = (Reconstruction(uncertainty=True, lambdas={"aster": 2.0}, normalise=("sentinel2",)), Jepa(), Contrast())


def global_batch(model, n=7):
    """Tiles that weigh differently: valid pixels, captions and their repetition differ from tile to tile."""
    batch = batch_of(model, n)
    for i in range(n):
        columns = torch.arange(TILE_METRES // 10) % n > i // 2
        batch.valid["aster"][i] &= columns
    batch.valid["canopy_height"][: n // 2] = False
    captions = [CAPTIONS[i] for i in (0, 1, 0, 2, 3, 1, 2)][:n]
    captions[4] = ""
    return masked(changed(batch, captions=captions, tokens=model.tokenize(captions)))


def gradient_of(group, part_size, poison=None):
    learner = learner_of(uncertain=TARGETS)
    whole = global_batch(learner.model)
    if poison is not None:
        with torch.no_grad():
            whole.batch.values["aster"][poison] = float("inf")
    n = len(whole)
    mine = whole.part(group.rank * n // group.size, (group.rank + 1) * n // group.size)
    step = Step(OBJECTIVES, group, part_size)
    row = step.gradient(learner, mine)
    check_finite(step, learner, mine, row)
    return row, gradients(learner)


def said(action):
    try:
        action()
    except GeoMeldError as error:
        return f"{type(error).__name__}: {error}"
    return None


def main(out):
    with ranks("cpu") as group:

        def fails():
            with group.together():
                if group.rank == 1:
                    raise DatasetError("No tile of step 3 can be read.")

        known = {part: gradient_of(group, part) for part in (None, 2)}
        errors = [said(fails), said(lambda: gradient_of(group, None, poison=5))]
        torch.save({"known": known, "errors": errors}, Path(out) / f"{group.rank}.pt")


if __name__ == "__main__":
    main(sys.argv[1])
