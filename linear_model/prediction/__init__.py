"""Predictions for the linear model: exact chains and formulas, who wins, and where they end."""
