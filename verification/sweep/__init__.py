"""A grid of cells run once, here or on a cluster, and taken up where it stopped. Knows no laboratory."""

from verification.sweep.cell import Laboratory as Laboratory
