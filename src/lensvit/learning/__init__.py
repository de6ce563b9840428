"""Neural networks: their inputs, their architectures, training, and evaluation by Monte-Carlo dropout."""
