"""Chapter: exact posteriors by importance sampling, each with its certificate."""
