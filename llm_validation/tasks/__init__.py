"""Text tasks: GLUE by its columns, commonsense sets in instruction form, and a user's own files."""
