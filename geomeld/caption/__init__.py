"""Stage 2: four agents write one sentence per tile that its sensors support, and keep the evidence."""
