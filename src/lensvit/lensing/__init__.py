"""Images of lenses from their parameters: deflection, quasar images, light of galaxies, PSF and noise."""
