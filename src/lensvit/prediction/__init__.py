"""Trained networks on images of one's own: cut out, predict with calibrated errors, and warn of unlike images."""
