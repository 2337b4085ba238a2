"""Claims on the local steps between averages."""
