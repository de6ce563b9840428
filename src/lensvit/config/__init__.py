"""The config of a run: its schema, how it is loaded, and the part of it that each stage reads."""
