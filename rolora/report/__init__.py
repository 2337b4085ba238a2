"""The verification report: its content, and its JSON, Markdown and HTML forms."""
