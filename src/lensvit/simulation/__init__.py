"""Systems drawn from the priors, their images in files, and the catalogue of all of them."""
