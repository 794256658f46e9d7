"""GeoMeld-FM as plain modules: encoder, decoders, predictor, text encoder, and the checkpoint folder they live in."""
