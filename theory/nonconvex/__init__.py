"""Smooth losses without convexity: the rate with explicit constants."""
