"""Pictures: panels of a tile, maps, bars, curves, and the offline HTML page that holds them."""
