"""The nouns every room shares: grids, modalities, tiles, captions, configuration and errors; no I/O and no torch."""
