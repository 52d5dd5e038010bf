"""One case, tried: what came of it, how fast, or why not."""

import time
from dataclasses import dataclass
from enum import Enum

from clients import Failed

POLL_SECONDS = 0.1
FLUSH_SECONDS = 15


class Late(Failed):
    """What was waited for did not come in time."""


class Outcome(Enum):
    """What came of a case."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    IMPOSSIBLE = "impossible"


@dataclass(frozen=True)
class Result:
    """A case and what came of it: the seconds if it passed, otherwise the reason."""

    case: object
    outcome: Outcome
    reason: str = ""
    seconds: float = 0.0
    is_late: bool = False

    def __str__(self):
        told = f"{self.seconds:.1f} s" if self.outcome is Outcome.PASSED else self.reason
        return f"{self.outcome.value:10}  {self.case}: {told}"


def attempt(case, lab, state, check_limits):
    """Tries the case, unless something that it needs is missing or it is known to be impossible."""
    for program in case.needs:
        if program.version() is None:
            return Result(case, Outcome.SKIPPED, f"{program.name} is not installed (run tests/setup)")
    if case.limit and not check_limits:
        return Result(case, Outcome.IMPOSSIBLE, case.limit)
    (state / "downloads").mkdir(parents=True)
    try:
        seconds = case.download(lab, state, time.monotonic() + lab.limit_seconds)
    except (Failed, RuntimeError, OSError) as failure:
        if case.limit:
            return Result(case, Outcome.IMPOSSIBLE, f"{case.limit} (it was tried: {failure})")
        return Result(case, Outcome.FAILED, str(failure), is_late=isinstance(failure, Late))
    if case.limit:
        return Result(case, Outcome.FAILED, f"it works, but cases.py says that the client {case.limit}")
    return Result(case, Outcome.PASSED, seconds=seconds)


def wait(is_reached, deadline, complaint):
    """Comes back when the condition holds; raises `Late` past the deadline."""
    while not is_reached():
        if time.monotonic() > deadline:
            raise Late(complaint)
        time.sleep(POLL_SECONDS)


def wait_for_files(difference):
    """Raises `Failed` if what is called complete differs, once there was time to write the last block."""
    deadline = time.monotonic() + FLUSH_SECONDS
    while found := difference():
        if time.monotonic() > deadline:
            raise Failed(found)
        time.sleep(POLL_SECONDS)


def time_download(client, publication, deadline):
    """Lets a client download; the seconds until it said that it was done, if what it wrote is what was published."""
    began = time.monotonic()
    client.start()
    wait(client.is_done, deadline, "it did not finish in time")
    seconds = time.monotonic() - began
    wait_for_files(lambda: publication.differs(client.job.folder, client.makes_empty_files, client.leaves))
    return seconds
