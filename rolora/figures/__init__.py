"""The paper's figures: one figure a file, each from a tidy table written beside it."""
