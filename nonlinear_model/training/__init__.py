"""Local training of all clients, the run round by round, and what is tracked of it."""
