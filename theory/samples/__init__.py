"""Finitely many samples: exact laws, mean-square rates and noise floors."""
