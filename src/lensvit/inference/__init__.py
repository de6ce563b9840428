"""From a noisy image to the parameters: prior, likelihood, posterior, searches and Markov chains."""
