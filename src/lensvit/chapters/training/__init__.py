"""Chapter of the appendix: how the networks were trained, and the figure with their learning curves."""
