"""Local training by either engine, the run round by round, and what it records."""
