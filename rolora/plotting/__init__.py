"""Style, figures and the files they become."""
