"""Chapter: the most probable parameters given all pixels, from the networks' draws on."""
