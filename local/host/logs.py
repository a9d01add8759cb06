"""Log lines on stderr: the app's as they are, of the machinery around it only what went wrong."""

from __future__ import annotations

import logging

from uvicorn.config import LOGGING_CONFIG

FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"


def configure() -> None:
    """Set up logging, before the app is imported: in the cloud, too, it finds the worker's handler in place."""
    logging.basicConfig(level=logging.INFO, format=FORMAT, datefmt="%H:%M:%S")
    logging.getLogger("azure").setLevel(logging.WARNING)  # the runtime logs as azure.functions
    # The extension's uvicorn is started with this very dictionary: no handlers of its own, no line per request.
    quiet = {"level": "WARNING"}
    LOGGING_CONFIG.update(handlers={}, loggers={"uvicorn": quiet, "uvicorn.error": quiet, "uvicorn.access": quiet})
