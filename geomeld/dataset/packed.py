"""Packed: a shard made for training: integers where they lose nothing, no bands without pixels, one record per tile."""

from geomeld.dataset.volume import TarVolume

PACKED = ".packed"


class PackedVolume(TarVolume):
    pass
