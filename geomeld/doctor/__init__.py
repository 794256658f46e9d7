"""Doctor: what is wrong with an image or a dataset, as its pixels tell: unit, offset, order of bands, no-data, rows."""
