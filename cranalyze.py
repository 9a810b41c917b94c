"""The command `cranalyze` from its first instruction on: interrupted, it ends without a word.

Until `analyzer.cli.main` has its own way of being interrupted there are only imports, of which a
traceback would tell nobody anything.
"""

import _signal as signal  # what `signal` is made of: that would import a good deal more
import os

_HANDLED = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # else it is ignored
if _HANDLED:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def main() -> int:
    """Run the command line and end with its exit code; return that of an interrupt."""
    from analyzer.cli import main as run

    try:
        if _HANDLED:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        # After that all is written and closed. What is left is memory, and the kernel frees it in a
        # quarter of the time in which Python takes itself apart.
        os._exit(run())
    except KeyboardInterrupt:  # before or after all that `run` does
        return 128 + signal.SIGINT
