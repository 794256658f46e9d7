"""Features: those of the encoder itself, computed once, kept under all that they depend on, never from a damaged file."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from geomeld.core.errors import CheckpointError, CorruptFile, UsageError
from geomeld.evaluate.encoder import padded
from geomeld.evaluate.features import features_of, pixels_of, sampled
from geomeld.evaluate.task import Sample, TaskKind
from geomeld.testing.toy_evaluation import ToyEncoder, ToyTask


def test_features_are_the_encoders_own_in_the_order_of_the_split():
    task, encoder = ToyTask(), ToyEncoder(("B4", "B2"))
    values, labels = features_of(encoder, task, "train", task.own_scale())
    assert values.dtype == np.float32
    assert values.shape == (12, 8)
    for i, name in enumerate(task.names["train"]):
        sample = task.sample(name)
        image = torch.from_numpy(sample.values[[2, 0]])[None]
        np.testing.assert_allclose(values[i], encoder(image)[0].detach().numpy(), atol=1e-5)
        assert labels[i] == sample.label


class Other(ToyTask):
    def fingerprint(self) -> str:
        return "0123456789ab"


def test_they_are_computed_once_and_again_for_anything_else(tmp_path):
    task, encoder = ToyTask(), ToyEncoder()
    first = features_of(encoder, task, "train", task.own_scale(), tmp_path)
    assert len(task.reads) == 12
    again = features_of(encoder, task, "train", task.own_scale(), tmp_path)
    assert len(task.reads) == 12
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])
    learned = ToyEncoder()
    learned.identity = "ba9876543210"
    for *asked, n in (
        (encoder, task, "valid", task.own_scale(), 6),
        (encoder, task, "train", replace(task.own_scale(), std=np.full(3, 2, np.float32)), 12),
        (encoder, task, "train", replace(task.own_scale(), source="pretraining"), 12),
        (encoder, Other(), "train", task.own_scale(), 12),
        (encoder, ToyTask(counts=(11, 6, 6)), "train", task.own_scale(), 11),
        (encoder, ToyTask(bands=("B4", "B3", "B2")), "train", task.own_scale(), 12),
        (learned, task, "train", task.own_scale(), 12),
    ):
        before = len(asked[1].reads)
        features_of(*asked, tmp_path)
        assert len(asked[1].reads) == before + n


class Asked(ToyTask):
    """Another question to the same images."""

    name, images = "asked", "toys"

    def sample(self, name: str) -> Sample:
        sample = super().sample(name)
        return replace(sample, label=(sample.label + 1) % 3)

    def fingerprint(self) -> str:
        return f"asked {self.kind.value}"


class First(ToyTask):
    images = "toys"


@pytest.mark.parametrize("kind", [TaskKind.MULTICLASS, TaskKind.SEGMENTATION])
def test_tasks_of_the_same_images_share_features_and_have_labels_of_their_own(tmp_path, kind):
    made = pixels_of if kind is TaskKind.SEGMENTATION else features_of
    each = (5, 1) if kind is TaskKind.SEGMENTATION else ()
    first, second, encoder = First(kind), Asked(kind), ToyEncoder()
    values, labels = made(encoder, first, "train", first.own_scale(), *each, tmp_path)
    again, asked = made(Refusing(), second, "train", second.own_scale(), *each, tmp_path)
    np.testing.assert_array_equal(values, again)
    np.testing.assert_array_equal(asked, (labels + 1) % 3)
    alone = made(encoder, second, "train", second.own_scale(), *each)
    np.testing.assert_array_equal(values, alone[0])
    np.testing.assert_array_equal(asked, alone[1])
    read = len(second.reads)
    for task, expected in ((first, labels), (second, asked)):
        np.testing.assert_array_equal(made(Refusing(), task, "train", task.own_scale(), *each, tmp_path)[1], expected)
    assert len(second.reads) == read


class Refusing(ToyEncoder):
    def pyramid(self, images):
        raise AssertionError("computed twice")


@pytest.mark.parametrize("damage", ["cut", "flipped", "emptied", "another"])
def test_a_file_that_is_damaged_or_of_another_is_never_read(tmp_path, damage):
    task, encoder = ToyTask(), ToyEncoder()
    first, _ = features_of(encoder, task, "train", task.own_scale(), tmp_path)
    path = next(p for p in tmp_path.glob("features/*.npz") if "-labels-" not in p.name)
    data = bytearray(path.read_bytes())
    if damage == "flipped":
        data[len(data) // 3] ^= 1
    path.write_bytes({"cut": data[: len(data) // 2], "emptied": b"", "flipped": bytes(data), "another": b""}[damage])
    if damage == "another":
        features_of(encoder, task, "valid", task.own_scale(), tmp_path)
        next(p for p in tmp_path.glob("features/*.npz") if "-valid-" in p.name and "-labels-" not in p.name).rename(
            path
        )
    for reads in (12, 0):
        task.reads.clear()
        again, _ = features_of(encoder, task, "train", task.own_scale(), tmp_path)
        np.testing.assert_array_equal(first, again)
        assert len(task.reads) == reads


def test_bands_that_are_missing_are_refused_or_masked():
    lacking = ToyTask(lacking=("B3",))
    with pytest.raises(UsageError, match="toy has no band B3, which the encoder needs"):
        features_of(ToyEncoder(masks_bands=False), lacking, "train", lacking.own_scale())
    values, _ = features_of(ToyEncoder(), lacking, "train", lacking.own_scale())
    assert np.isfinite(values).all()
    with pytest.raises(UsageError, match="toy has no band B8"):
        features_of(ToyEncoder(("B2", "B8"), masks_bands=False), ToyTask(), "train", ToyTask().own_scale())


class Broken(ToyTask):
    def sample(self, name):
        if name == "train-9":
            raise CorruptFile("train-9.hdf5 cannot be opened; fetch it again.")
        found = super().sample(name)
        return replace(found, values=found.values * np.nan) if name == "valid-3" else found


def test_what_cannot_be_read_ends_it_with_the_name():
    task = Broken()
    with pytest.raises(CorruptFile, match=r"train-9.hdf5 cannot be opened"):
        features_of(ToyEncoder(), task, "train", task.own_scale())
    with pytest.raises(CorruptFile, match=r"toy: valid-3 holds values that are not finite once .* own statistics"):
        features_of(ToyEncoder(), task, "valid", task.own_scale())
    weak = ToyEncoder()
    weak.stem.weight.data *= np.nan
    with pytest.raises(CheckpointError, match=r"toy makes features of toy .* its weights are damaged"):
        features_of(weak, task, "test", task.own_scale())


@pytest.mark.parametrize("size", [(12, 16), (32, 24)])
def test_pixels_of_maps_equal_those_of_maps_enlarged_whole(size):
    rng = torch.Generator().manual_seed(1)
    maps = [torch.randn(2, c, size[0] // s, size[1] // s, generator=rng) for c, s in ((3, 1), (4, 2), (5, 4))]
    whole = torch.cat([F.interpolate(m, size, mode="bilinear", align_corners=False) for m in maps], 1)
    rows = torch.randint(size[0], (2, 50), generator=rng)
    columns = torch.randint(size[1], (2, 50), generator=rng)
    rows[:, 0], columns[:, 0], rows[:, 1], columns[:, 1] = 0, 0, size[0] - 1, size[1] - 1
    found = sampled(maps, size, rows, columns)
    for image in range(2):
        torch.testing.assert_close(found[image], whole[image, :, rows[image], columns[image]].T)


def test_pixels_come_with_their_labels_and_are_drawn_by_the_seed(tmp_path):
    task, encoder = ToyTask(TaskKind.SEGMENTATION, counts=(5, 2, 2), size=10, noise=0.0), ToyEncoder()
    values, labels = pixels_of(encoder, task, "train", task.own_scale(), 20, seed=3, cache=tmp_path)
    assert values.shape == (100, 14)
    for i, name in enumerate(task.names["train"]):
        sample = task.sample(name)
        image = padded(torch.from_numpy(sample.values)[None], 4)
        maps = [F.interpolate(m, (12, 12), mode="bilinear", align_corners=False) for m in encoder.pyramid(image)]
        every = torch.cat(maps, 1)[0, :, :10, :10].flatten(1).T.detach().numpy()
        for value, label in zip(values[20 * i : 20 * i + 20], labels[20 * i : 20 * i + 20], strict=True):
            same = np.abs(every - value).max(1) < 1e-5
            assert label in sample.label.ravel()[same]
    assert (pixels_of(encoder, task, "train", task.own_scale(), 20, seed=4)[1] != labels).any()
    read = len(task.reads)
    np.testing.assert_array_equal(pixels_of(encoder, task, "train", task.own_scale(), 20, 3, tmp_path)[0], values)
    assert len(task.reads) == read
