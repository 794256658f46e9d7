"""Stage 5: an index of tile embeddings, and exact search by text or by tile."""
