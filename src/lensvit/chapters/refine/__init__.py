"""Chapter: fits to all pixels, from the networks' draws to the maximum of the posterior."""
