"""``lensvit bench``: how fast this package is on this machine, against the original's way of doing the same."""
