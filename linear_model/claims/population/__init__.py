"""Claims on the population limit and what is left of it with finitely many samples."""
