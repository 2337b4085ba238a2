"""Claims on the number of rounds until the signal is recovered."""
