"""``python -m lensvit``: the same as the command ``lensvit``."""

from __future__ import annotations

import sys

from lensvit.cli import main

sys.exit(main())
