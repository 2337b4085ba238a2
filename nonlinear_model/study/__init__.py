"""The network study: which method leads where, designed before it was run, with its runs as one table."""
