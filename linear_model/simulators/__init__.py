"""Four ways to run the same experiment, one a file."""
