"""From the parameters of a lens to its image: deflection, quasar images, light, PSF and noise."""
