"""Real lenses: what networks, fits and published models say of images of the user's own."""
