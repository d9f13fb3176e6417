"""What `--gpus N` starts: torchrun, which ends with the process that started it and says in one line which rank died.

Run as `python -m ganvas.training.agent`, with torchrun's arguments.
"""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Sequence

from ganvas.training.interruption import STOPPED, end_with_parent


def main(arguments: Sequence[str]) -> int:
    """Run torchrun and return the exit code of the rank that failed first, 130 when asked to stop."""
    # The ranks are asked to stop and save; should this process be killed outright, they end with it.
    end_with_parent(signal.SIGTERM)
    # What it says of signals and exit codes stands in the way of what the ranks say.
    logging.disable(logging.WARNING)
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import parse_args, run

    try:
        run(parse_args(arguments))
    except SignalException:
        return STOPPED
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        if failure.exitcode < 0:
            name = signal.Signals(-failure.exitcode).name
            why = " (out of memory, if nobody killed it)" if name == "SIGKILL" else ""
            print(f"ganvas: rank {rank} (process {failure.pid}) was ended by {name}{why}.", file=sys.stderr)
            return 1
        # It has told why itself.
        return failure.exitcode
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
