"""Claims on what finite samples do to a round: b-step, mean-square rate, pool, fixed data, label noise."""
