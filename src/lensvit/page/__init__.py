"""The page of a run's results: one HTML file that a browser opens from the disk."""
