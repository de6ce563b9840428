"""``python -m lensvit``: the same as the command ``lensvit``."""

import sys

from lensvit.cli import main

sys.exit(main())
