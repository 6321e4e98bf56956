"""Grids: axes, cells, their directory, the engine that plays them; a room for studies and one for comparisons."""
