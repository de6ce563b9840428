"""Chapter: a network on systems unlike those that it was trained on."""
