"""Two modalities that the table does not hold: what adding one takes is proven with them."""

from geomeld.core.modality import Continuous, Modality, Resampling, Timing

ENMAP = Modality(
    name="enmap",
    title="EnMAP hyperspectral",
    bands=tuple(f"b{i}" for i in range(40)),
    kind=Continuous(unit="surface reflectance x 10000", display=(0.0, 3000.0)),
    gsd=20.0,
    resampling=Resampling.BILINEAR,
    timing=Timing.NEAREST,
    dtype="float32",
    no_data=float("nan"),
    published=False,
)
GEDI = Modality(
    name="gedi",
    title="GEDI-like lidar height",
    bands=("rh98",),
    kind=Continuous(unit="m", display=(0.0, 40.0)),
    gsd=10.0,
    resampling=Resampling.NEAREST,
    timing=Timing.STATIC,
    dtype="int16",
    no_data=-1.0,
    published=False,
)
