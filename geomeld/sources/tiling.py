"""Tiling: how global products are cut into files, what these are called and where their providers keep them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from shapely.geometry import Polygon, box

from geomeld.core.grid import Grid


@dataclass(frozen=True, slots=True)
class Square:
    """One square of a product's tiling, degrees."""

    west: int
    """-180 or more, below 180."""
    south: int
    side: int
    turns: int = 0
    """Whole turns to the east by which the square lies beside a tile that reaches beyond the antimeridian."""

    @property
    def footprint(self) -> Polygon:
        """The square in the tile's longitudes."""
        west = self.west + 360 * self.turns
        return box(west, self.south, west + self.side, self.south + self.side)


@dataclass(frozen=True, slots=True)
class Tiling:
    """A product that is a grid of files whose names say where they lie; a fact sheet, no code."""

    name: str
    """What it is called on the command line."""
    modality: str
    """Name of the modality that it serves."""
    title: str
    """Product, version, and what has to be said of it."""
    side: int
    """Degrees from one file to the next."""
    files: Mapping[str, tuple[str, ...]]
    """Names of the files of each band, the first that is there; with the fields of `name_of`."""
    reach: tuple[int, int]
    """Degrees of latitude between which there are files; beyond, nothing is looked for."""
    address: str = ""
    """Where the provider keeps the files, each under its name; empty where they have to be at hand."""
    nodata: float | None = None
    """Stored value of a missing pixel in files without a tag of their own."""
    derived: Mapping[str, str] = field(default_factory=dict)
    """Bands that no file carries, by the band whose slope they are."""
    whole: bool = False
    """The provider's server is no good at parts of files, or asks for a login: files are fetched whole, once."""
    token: str = ""
    """Environment variable with the bearer token that the provider asks for."""
    token_from: str = ""
    """Where such a token is had."""
    per_degree: int = 0
    """Pixels per degree, where names count pixels."""

    def squares(self, grid: Grid) -> list[Square]:
        """Squares that a tile touches, from the south-west to the north-east."""
        lons, lats = zip(*grid.footprint(), strict=True)
        return [
            Square((west + 180) % 360 - 180, south, self.side, (west + 180) // 360)
            for south in _steps(max(min(lats), self.reach[0]), min(max(lats), self.reach[1]), self.side)
            for west in _steps(min(lons), max(lons), self.side)
        ]

    def around(self, lon: float, lat: float) -> Square:
        """The square that holds a place."""
        west, south = (math.floor(v / self.side) * self.side for v in (lon, lat))
        return Square(west, south, self.side)

    def names_of(self, square: Square, band: str) -> tuple[str, ...]:
        """Names that the file of a band may have."""
        north = square.south + self.side
        return tuple(
            form.format(
                ns=_letter(square.south, "NS"),
                south=abs(square.south),
                ew=_letter(square.west, "EW"),
                west=abs(square.west),
                top_ns=_letter(north, "NS"),
                north=abs(north),
                down=(80 - north) * self.per_degree,
                right=(square.west + 180) * self.per_degree,
            )
            for form in self.files[band]
        )


def _letter(degrees: int, letters: str) -> str:
    return letters[degrees < 0]


def _steps(first: float, last: float, side: int) -> range:
    """Multiples of `side` whose squares touch [first, last]; none where that is empty."""
    if first >= last:
        return range(0)
    return range(math.floor(first / side) * side, math.ceil(last / side) * side, side)


def _worldcover(year: int, version: str) -> Tiling:
    return Tiling(
        name=f"worldcover-{year}",
        modality="esa_worldcover",
        title=f"ESA WorldCover {year} {version}",
        side=3,
        files={"esa_label": (f"ESA_WorldCover_10m_{year}_{version}_{{ns}}{{south:02}}{{ew}}{{west:03}}_Map.tif",)},
        reach=(-60, 84),
        address=f"https://esa-worldcover.s3.eu-central-1.amazonaws.com/{version}/{year}/map",
        nodata=0,
    )


_CANOPY = "ETH_GlobalCanopyHeight_10m_2020_{{ns}}{{south:02}}{{ew}}{{west:03}}_Map{}.tif"

TILINGS: dict[str, Tiling] = {
    t.name: t
    for t in (
        _worldcover(2020, "v100"),
        _worldcover(2021, "v200"),
        Tiling(
            name="canopy-height",
            modality="canopy_height",
            title="ETH canopy height 2020",
            side=3,
            files={"height": (_CANOPY.format(""),), "stddev": (_CANOPY.format("_SD"),)},
            reach=(-60, 84),
            address="https://share.phys.ethz.ch/~pf/nlangdata/ETH_GlobalCanopyHeight_10m_2020_version1/3deg_cogs",
            nodata=255,
            whole=True,
        ),
        Tiling(
            name="aster-gdem",
            modality="aster",
            title="ASTER GDEM v3",
            side=1,
            files={"elevation": ("ASTGTMV003_{ns}{south:02}{ew}{west:03}_dem.tif",)},
            reach=(-83, 83),
            address="https://data.lpdaac.earthdatacloud.nasa.gov/lp-prod-protected/ASTGTM.003",
            nodata=-9999,
            derived={"slope": "elevation"},
            whole=True,
            token="EARTHDATA_TOKEN",
            token_from="https://urs.earthdata.nasa.gov (Generate Token)",
        ),
        Tiling(
            name="cop-dem-glo-30",
            modality="aster",
            title="Copernicus DEM GLO-30",
            side=1,
            files={"elevation": ("Copernicus_DSM_COG_10_{ns}{south:02}_00_{ew}{west:03}_00_DEM.tif",)},
            reach=(-90, 84),
            derived={"slope": "elevation"},
        ),
        Tiling(
            name="srtm",
            modality="aster",
            title="SRTM, 3 arc seconds",
            side=1,
            files={"elevation": ("{ns}{south:02}{ew}{west:03}.hgt", "{ns}{south:02}{ew}{west:03}.hgt.zip")},
            reach=(-56, 60),
            nodata=-32768,
            derived={"slope": "elevation"},
        ),
        Tiling(
            name="jrc-occurrence",
            modality="surface_water",
            title="JRC Global Surface Water v1.4, occurrence 1984-2021",
            side=10,
            # The second form is that of the Planetary Computer, by pixels from the north-west corner of the product.
            files={
                "occurrence": (
                    "occurrence_{west}{ew}_{north}{top_ns}v1_4_2021.tif",
                    "occurrence-{down:010}-{right:010}.tif",
                )
            },
            reach=(-60, 80),
            address="https://storage.googleapis.com/global-surface-water/downloads2021/occurrence",
            nodata=255,
            per_degree=4000,
        ),
    )
}
"""Every tiling by its name."""
