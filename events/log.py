"""Where the project logs, under the name `trackside`: silent until a host configures logging."""

from __future__ import annotations

import logging

log = logging.getLogger("trackside")
log.addHandler(logging.NullHandler())
