"""Tile: the layers of a plan row, read onto one grid, with the published facts about them."""

from collections.abc import Callable, Sequence

from geomeld import signals
from geomeld.build.plan import PlanRow
from geomeld.core.errors import EmptyLayer
from geomeld.core.grid import Grid
from geomeld.core.modality import Modality, Timing
from geomeld.core.tile import Layer, Tile
from geomeld.modalities import MODALITIES
from geomeld.sources import Feature, Scene, Source

Read = Callable[[Modality, Sequence[Scene], Grid], Layer | None]
Features = Callable[[Grid], list[Feature] | None]


def build_tile(row: PlanRow, source: Source, read: Read | None = None, features: Features | None = None) -> Tile:
    """Read every layer of a planned tile; products that hold nothing here are left out.

    `read` and `features` stand in for those of the source, e.g. to try again. Raises SourceError where a layer cannot
    be read, EmptyLayer where the reference modality shows nothing.
    """
    read, features = read or source.read, features or source.features
    grid = Grid.centred_on(row.anchor.lon, row.anchor.lat)
    if expect := getattr(source, "expect", None):
        expect(row.scenes, grid)
    layers = {}
    for name, modality in MODALITIES.items():
        if not row.scenes.get(name):
            continue
        layer = read(modality, row.scenes[name], grid)
        if layer is not None and layer.valid.any():
            layers[name] = layer
        elif modality.timing is Timing.REFERENCE:
            ids = ", ".join(s.scene_id for s in row.scenes[name])
            raise EmptyLayer(f"{name} scene {ids} holds no valid pixel on the tile")
    bare = Tile(row.anchor, grid, layers, {"days": {n: round(d, 4) for n, d in row.days.items()}, "stage": row.stage})
    clouds = [v[0].cloud_cover for n, v in row.scenes.items() if v and MODALITIES[n].timing is Timing.REFERENCE]
    facts = {"cloud_cover": clouds[0]} if clouds and clouds[0] is not None else {}
    facts |= signals.published_fields(bare, features(grid))
    if facts["map_features"] is not None and (product := getattr(source, "map_product", None)):
        facts["map_product"] = product()
    return Tile(row.anchor, grid, layers, {**bare.metadata, **facts})
