"""Local steps between averages: where clients drift apart, where not, and how the drift is taken out."""
