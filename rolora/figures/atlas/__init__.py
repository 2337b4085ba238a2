"""Figures of the atlas: every method in the one linear model."""
