"""Chapter: how well the parameters can be known at all, from the information in the images."""
