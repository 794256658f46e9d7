"""Tile: the layers of a plan row, read onto one grid, with the published facts about them."""

from geomeld import signals
from geomeld.build.plan import PlanRow
from geomeld.core.errors import SourceError
from geomeld.core.grid import Grid
from geomeld.core.modality import Timing
from geomeld.core.tile import Tile
from geomeld.modalities import MODALITIES
from geomeld.sources import Source


def build_tile(row: PlanRow, source: Source) -> Tile:
    """Read every layer of a planned tile; products that hold nothing here are left out.

    Raises SourceError where the reference modality cannot be read, or any file is damaged.
    """
    grid = Grid.centred_on(row.anchor.lon, row.anchor.lat)
    layers = {}
    for name, modality in MODALITIES.items():
        if not row.scenes.get(name):
            continue
        layer = source.read(modality, row.scenes[name], grid)
        if layer is not None and layer.valid.any():
            layers[name] = layer
        elif modality.timing is Timing.REFERENCE:
            ids = ", ".join(s.scene_id for s in row.scenes[name])
            raise SourceError(f"{name} scene {ids} holds no valid pixel on the tile")
    bare = Tile(row.anchor, grid, layers, {"days": {n: round(d, 4) for n, d in row.days.items()}, "stage": row.stage})
    clouds = [v[0].cloud_cover for n, v in row.scenes.items() if v and MODALITIES[n].timing is Timing.REFERENCE]
    facts = {"cloud_cover": clouds[0]} if clouds and clouds[0] is not None else {}
    facts |= signals.published_fields(bare, source.features(grid))
    return Tile(row.anchor, grid, layers, {**bare.metadata, **facts})
