"""The paper's figures: one module a figure; drawing is apart from writing."""
