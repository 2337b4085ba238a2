"""A published table run whole: every cell and seed, each in a run folder of its own."""
