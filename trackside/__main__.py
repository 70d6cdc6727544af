"""`python -m trackside`: the command line."""

from __future__ import annotations

import sys

from .views.commands.main import main

sys.exit(main())
