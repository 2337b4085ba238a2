"""The published tables, presets of their cells, and finished runs to set beside them."""
