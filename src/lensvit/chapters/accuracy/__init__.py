"""Chapter: Table 1 and Figures 2 and 3, the errors of the predictions."""
