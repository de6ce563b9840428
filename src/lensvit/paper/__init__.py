"""The paper: its numbers, its LaTeX, its PDF and its source archive."""
