"""What is timed and weighed, as ratios taken in one run."""
