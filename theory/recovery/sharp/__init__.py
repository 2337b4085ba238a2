"""What is necessary: samples without which the angle does not get small."""
