"""Chapter: the data set, and Figure 1 with examples and attention."""
