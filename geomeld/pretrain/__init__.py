"""Stage 3: masking, objectives, the EMA teacher and the training loop."""
