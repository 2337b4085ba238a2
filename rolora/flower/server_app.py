"""`ServerApp`: the laboratory's own run, whose clients answer by messages."""

import logging
from typing import Any

from rolora.flower import laboratories
from rolora.flower.options import read
from verification.discovery import extras_named

with extras_named():
    from flwr.app import Context
    from flwr.serverapp import ServerApp

app = ServerApp()


@app.main()  # type: ignore[untyped-decorator,unused-ignore]
def main(grid: Any, context: Context) -> None:
    """One run; what is wrong with it is the last line of its log."""
    try:
        laboratories.serve(grid, read(context.run_config), logging.getLogger("flwr").info)
    except ValueError as error:
        raise ValueError(str(error)) from None  # without the way there
