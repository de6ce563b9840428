"""What all figures of the paper share; each chapter draws its own."""
