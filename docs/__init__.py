"""The documentation site: pages written by hand, and the generators that fill in the rest."""
