"""One file per command. Importing them is cheap: what is heavy is imported when a command runs."""
