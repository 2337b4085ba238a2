"""JSON schemas of what the toolkit writes: a report, a manifest of a run, a prediction."""
