"""Caption quality: captions held against a truth that no agent has seen; the truth is handed in."""
