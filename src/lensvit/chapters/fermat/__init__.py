"""Chapter: what the errors of lens parameters mean for time delays and the Hubble constant."""
