"""Where the project logs, `trackside`: silent until a host gives that logger, or its own, a handler."""

from __future__ import annotations

import logging

log = logging.getLogger("trackside")
log.addHandler(logging.NullHandler())
