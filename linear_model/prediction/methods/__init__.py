"""A method a file or a few: what makes its row. The table of them all is `table`."""
