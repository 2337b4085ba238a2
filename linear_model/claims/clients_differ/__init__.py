"""Claims on clients with different targets."""
