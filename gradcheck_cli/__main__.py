"""The process: `gradcheck`, and `python -m gradcheck_cli`."""

from __future__ import annotations

import gc
from typing import NoReturn


def main() -> NoReturn:
    """The console script."""
    gc.disable()  # Importing makes no garbage; `ops_print_to_stderr` turns it on again, before any op makes some.
    from gradcheck_cli import cli

    cli.main()


if __name__ == "__main__":
    main()
