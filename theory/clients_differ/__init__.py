"""Clients with different targets: what either averaging settles at."""
