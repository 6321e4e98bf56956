"""Pictures without a library: SVG and its colours."""
