"""JSON schemas of what the toolkit writes: a verification report, and the manifest of a run."""
