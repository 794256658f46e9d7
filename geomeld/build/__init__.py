"""Stage 1: from coordinates to aligned tiles: anchors, plan, tile, run."""
