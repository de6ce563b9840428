"""``lensvit doctor``: whether this machine is as a run needs it, one line for each thing that is looked at."""
