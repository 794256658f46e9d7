"""Zero-shot: the table of phrases is complete, the ensemble is a mean, and classes with planted texts are told apart."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from geomeld.core.errors import UsageError
from geomeld.core.modality import Categorical
from geomeld.evaluate.geobench import SETS
from geomeld.evaluate.metrics import scores_of
from geomeld.evaluate.scale import Scale
from geomeld.evaluate.task import Sample, TaskKind
from geomeld.evaluate.zero_shot import TEMPLATES, class_vectors, phrases_of, zero_shot
from geomeld.modalities import MODALITIES

WORDS = ("forest", "water", "sand")


class Planted:
    """A model whose image embedding is the brightest band and whose text embedding is the word that it finds."""

    config = SimpleNamespace(
        patch=16, input=SimpleNamespace(bands=("B2", "B3", "B4"), mean=(0.0,) * 3, std=(1.0,) * 3)
    )  # fmt: skip

    def encode_image(self, pixels: torch.Tensor, bands: tuple[str, ...]) -> torch.Tensor:
        assert pixels.shape[2] % 16 == 0
        order = [bands.index(b) for b in self.config.input.bands]
        return torch.nn.functional.normalize(pixels.nan_to_num(0.0).mean(dim=(2, 3))[:, order], dim=1)

    def encode_text(self, texts: list[str]) -> torch.Tensor:
        found = [[float(w in t) for w in WORDS] for t in texts]
        return torch.nn.functional.normalize(torch.tensor(found), dim=1)


class Bright:
    """Images of which one band is bright, and which one is the class."""

    name, kind, classes, size, traps = "bright", TaskKind.MULTICLASS, 3, 20, ()
    class_names = ("Dense trees", "Water", "Bare soil or sand")
    bands = ("B4", "B2", "B3")
    names = {"train": (), "valid": (), "test": tuple(str(i) for i in range(40))}  # noqa: RUF012

    def sample(self, name: str) -> Sample:
        label, values = int(name) % 3, np.full((3, 20, 20), 100, np.float32)
        values[self.bands.index(("B2", "B3", "B4")[label])] = 3000
        return Sample(name, values, np.array([True, True, True]), np.int64(label))

    def pretraining_scale(self, mean: list[float], std: list[float]) -> Scale:
        return Scale(self.bands, np.float32(mean), np.float32(std), "pretraining")

    def fingerprint(self) -> str:
        return "0" * 12


def test_every_class_of_every_product_and_all_climate_zones_are_described() -> None:
    kinds = [m.kind for m in MODALITIES.values() if isinstance(m.kind, Categorical)]
    assert kinds
    for kind in kinds:
        assert all(phrases_of([c.name for c in kind.classes]))
    zones = SETS["m-so2sat"].class_names
    assert len(set(phrases_of(zones))) == len(zones) == SETS["m-so2sat"].classes
    assert phrases_of(["Bush, scrub", "bush scrub", "Compact middle rise"])[2] == phrases_of(["Compact mid-rise"])[0]
    with pytest.raises(UsageError, match="'Lava'"):
        phrases_of(["Water", "Lava"])
    assert phrases_of(["Bush or scrub", "Compact middle-rise"]) == phrases_of(["Bush, scrub", "Compact mid-rise"])


def test_the_vector_of_a_class_is_the_normalised_mean_over_phrases_and_templates() -> None:
    torch.manual_seed(0)
    known: dict[str, torch.Tensor] = {}

    class Hashed:
        def encode_text(self, texts: list[str]) -> torch.Tensor:
            return torch.stack(
                [known.setdefault(t, torch.nn.functional.normalize(torch.randn(7), dim=0)) for t in texts]
            )

    vectors = class_vectors(Hashed(), [("a", "b"), ("c",)])
    assert len(known) == 3 * len(TEMPLATES)
    for vector, words in zip(vectors, (("a", "b"), ("c",)), strict=True):
        mean = sum(known[t.format(w)] for w in words for t in TEMPLATES)
        np.testing.assert_allclose(vector, (mean / mean.norm()).numpy(), atol=1e-6)


def test_planted_classes_are_told_by_their_texts_whatever_the_order_of_bands() -> None:
    task = Bright()
    outcome = zero_shot(Planted(), task, "planted", "1" * 12, batch_size=16)
    assert outcome.predicted.shape == (40, 3)
    assert scores_of(task, outcome)["overall accuracy"] == 1.0
    assert outcome.names == task.names["test"]


def test_tasks_that_cannot_be_told_are_refused() -> None:
    task = Bright()
    task.kind = TaskKind.MULTILABEL
    with pytest.raises(UsageError, match="one class per image"):
        zero_shot(Planted(), task, "planted", "1" * 12)
    task.kind, task.class_names = TaskKind.MULTICLASS, ()
    with pytest.raises(UsageError, match="does not say what its 3 classes"):
        zero_shot(Planted(), task, "planted", "1" * 12)
