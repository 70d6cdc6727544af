"""The logger of the project, `trackside`: silent until the host application configures logging."""

from __future__ import annotations

import logging

log = logging.getLogger("trackside")
log.addHandler(logging.NullHandler())
