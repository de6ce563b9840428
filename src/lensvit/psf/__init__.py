"""Point spread functions, computed from physics or read from a user's file, as kernels of one form."""
