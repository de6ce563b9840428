"""Chapter: Markov chains of some test systems, the standard method."""
