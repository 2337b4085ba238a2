"""Infinitely many samples: the exact map of one round, where it contracts, where it locks."""
