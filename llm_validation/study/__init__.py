"""The studies whose finished tables are committed: their designs, and the commands that run them."""
