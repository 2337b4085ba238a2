"""One server round of a federation, for any model: who takes part, how data are dealt, what is kept."""
