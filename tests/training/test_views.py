"""Views, splits and captions with directions: what augmentation may do to a tile."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from geomeld.batch import View, collate
from geomeld.core.errors import ConfigError
from geomeld.core.tile import Layer
from geomeld.loader import DIRECTIONS, Augment, Loader, Split, crop_view
from geomeld.modalities import MODALITIES
from geomeld.models.spec import LayerSpec
from geomeld.testing import fake_tile, tiny_dataset

ROWS, COLUMNS = np.mgrid[0:128, 0:128]


def test_a_view_shows_every_pixel_size_the_same_ground() -> None:
    coarse = (ROWS * 1000 + COLUMNS)[None]
    fine = coarse.repeat(10, axis=1).repeat(10, axis=2)
    for view in (View(320, 160, 640), View(turns=1), View(320, 160, 640, turns=3, mirrored=True)):
        np.testing.assert_array_equal(view.apply(fine, 1.0)[:, ::10, ::10], view.apply(coarse, 10.0))
    np.testing.assert_array_equal(View(320, 160, 640).apply(coarse, 10.0), coarse[:, 16:80, 32:96])
    assert View(mirrored=True).apply(coarse, 10.0)[0, 0, 0] == 127
    assert View(turns=1).apply(coarse, 10.0)[0, 0, 0] == 127, "anticlockwise: the north-east corner comes first"


def test_a_batch_of_views_stays_aligned_across_layers() -> None:
    tile = fake_tile(1)
    ground = ROWS.astype(np.float32)[None] * 1000 + COLUMNS
    marked = Layer(ground.repeat(2, axis=0), np.ones((2, 128, 128), bool), ("elevation", "slope"))
    also = Layer(ground.repeat(2, axis=0), np.ones((2, 128, 128), bool), ("height", "stddev"))
    tile = replace(tile, layers={"aster": marked, "canopy_height": also})
    table = [MODALITIES["aster"], MODALITIES["canopy_height"]]
    view = Augment(crop=64, flips=True).view(tile, seed=3, epoch=1)
    batch = collate([tile], table, {m.name: LayerSpec.of(m) for m in table}, views=[view])
    assert batch.values["aster"].shape == (1, 2, 64, 64)
    assert bool((batch.values["aster"] == batch.values["canopy_height"]).all())


def test_crops_reach_every_corner_and_depend_on_tile_epoch_and_seed() -> None:
    tile = fake_tile(1)
    views = [Augment(crop=64).view(tile, 0, epoch) for epoch in range(400)]
    norths, wests = ({round(getattr(v, side) / 10) for v in views} for side in ("north", "west"))
    assert min(norths) <= 1
    assert max(norths) >= 63
    assert min(wests) <= 1
    assert max(wests) >= 63
    assert Augment(crop=64).view(tile, 0, 7) == views[7]
    assert crop_view(tile, 64) == View(west=320, north=320, metres=640)


@pytest.mark.parametrize(
    ("caption", "told"),
    [
        ("A lake fills the north-east of the flat land", True),
        ("Fields in the Southern part", True),
        ("A river runs along the left edge", True),
        ("Dense forest on steep slopes with a few clearings", False),
        ("A right-angled field pattern is rightly absent", True),
        ("Forest around a western-style town", True),
        ("Leftover snow on topsoil", False),
    ],
)
def test_a_caption_that_names_a_direction_is_never_turned(caption: str, told: bool) -> None:
    assert bool(DIRECTIONS.search(caption)) is told
    tile = fake_tile(1)
    tile.metadata["caption"] = caption  # type: ignore[index]
    views = {(v.turns, v.mirrored) for v in (Augment(flips=True).view(tile, 0, e) for e in range(60))}
    assert len(views) == (1 if told else 8)


def test_bands_are_placed_by_name() -> None:
    tile = fake_tile(1)
    whole = tile.layers["sentinel2"]
    order = [b for b in reversed(whole.bands) if b not in ("B2", "B3", "B4")]
    part = [whole.bands.index(b) for b in order]
    nine = Layer(whole.values[part], whole.valid[part], tuple(order))
    table, spec = [MODALITIES["sentinel2"]], {"sentinel2": LayerSpec.of(MODALITIES["sentinel2"])}
    full = collate([tile], table, spec)
    lacking = collate([replace(tile, layers={"sentinel2": nine})], table, spec)
    for i, band in enumerate(whole.bands):
        here = band in order
        expected = full.values["sentinel2"][0, i] if here else 0 * full.values["sentinel2"][0, i]
        assert bool((lacking.values["sentinel2"][0, i] == expected).all())
        assert bool(lacking.valid["sentinel2"][0, i].any()) is here


def test_a_cell_is_held_out_whole_and_the_share_is_kept() -> None:
    split = Split(held_out=0.2, by="cell")
    for lon, lat in ((10.1, 50.1), (-0.5, -0.5), (179.2, 5.9)):
        cell = {split.holds_out(i, lon + d, lat + d) for i, d in enumerate((0.0, 0.05, 0.09))}
        assert len(cell) == 1
    share = np.mean([split.holds_out(0, lon, lat) for lon in range(-180, 180, 3) for lat in range(-60, 60, 3)])
    assert share == pytest.approx(0.2, abs=0.02)


def test_the_parts_of_all_ranks_are_the_batch_of_one_process(tmp_path) -> None:
    dataset = tiny_dataset(tmp_path / "d", 11)
    table = [MODALITIES["aster"], MODALITIES["dynamic_world"]]
    norms = {m.name: LayerSpec.of(m) for m in table}

    def loader(**how) -> Loader:
        return Loader(dataset, dataset.tile_ids, table, norms, 5, augment=Augment(crop=64, flips=True), **how)

    for step in range(5):
        whole = loader(workers=0).batch(step)
        for ranks, workers in ((2, 0), (3, 1), (5, 3)):
            parts = [
                next(iter(loader(rank=r, ranks=ranks, workers=workers).batches(step, step + 1))) for r in range(ranks)
            ]
            assert [i for p in parts for i in p.tile_ids] == whole.tile_ids
            for name in whole.values:
                assert torch.equal(torch.cat([p.values[name] for p in parts]), whole.values[name])
                assert torch.equal(torch.cat([p.valid[name] for p in parts]), whole.valid[name])
    with pytest.raises(ConfigError, match="5 tiles cannot be shared by 6"):
        loader(ranks=6)
    with pytest.raises(ConfigError, match="rank 2 of 2"):
        loader(rank=2, ranks=2)


def turned(row: int, column: int, side: int, turns: int, mirrored: bool) -> tuple[int, int]:
    """Which pixel of the seen square an output pixel shows: the turns undone one by one, then the mirror."""
    for _ in range(turns):
        row, column = column, side - 1 - row
    return (row, side - 1 - column) if mirrored else (row, column)


@pytest.mark.parametrize("mirrored", [False, True], ids=["as it lies", "mirrored"])
@pytest.mark.parametrize("turns", range(4))
def test_all_eight_turns_of_every_modality_against_plain_loops(turns: int, mirrored: bool) -> None:
    """Values, masks, and a photograph of 1 m: pixel by pixel from the definition, and all of the same ground."""
    tile = fake_tile(1)
    rng = np.random.default_rng(turns)
    photograph = rng.integers(1, 256, (3, 1280, 1280)).astype(np.uint16)
    seen = rng.random(photograph.shape) > 0.1
    tile = replace(tile, layers={**tile.layers, "naip": Layer(photograph, seen, ("R", "G", "B"))})
    view = View(west=250, north=470, metres=640, turns=turns, mirrored=mirrored)
    table = list(MODALITIES.values())
    specs = {
        m.name: LayerSpec.of(m, *(() if m.is_categorical else ([2.5] * len(m.bands), [1.7] * len(m.bands))))
        for m in table
    }
    batch = collate([tile], table, specs, views=[view])
    for modality in table:
        layer, gsd = tile.layers[modality.name], int(modality.gsd)
        side, top, left = 640 // gsd, 470 // gsd, 250 // gsd
        values, valid = batch.values[modality.name][0].numpy(), batch.valid[modality.name][0].numpy()
        assert values.shape == valid.shape == (len(modality.bands), side, side)
        corners = [(0, 0), (0, side - 1), (side - 1, 0), (side - 1, side - 1)]
        for row, column in corners + rng.integers(0, side, (60, 2)).tolist():
            r, c = turned(row, column, side, turns, mirrored)
            for band in range(len(modality.bands)):
                was, known = layer.values[band, top + r, left + c], layer.valid[band, top + r, left + c]
                assert bool(valid[band, row, column]) == bool(known)
                found = values[band, row, column]
                if not known:
                    assert found == 0
                elif modality.is_categorical:
                    assert modality.kind.codes[found] == was
                else:
                    spec = specs[modality.name]
                    mean, std = np.float32(spec.mean[band]), np.float32(spec.std[band])
                    assert found == (np.float32(was) - mean) / std
