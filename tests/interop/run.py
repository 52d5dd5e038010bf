#!/usr/bin/python3
"""Interop: real BitTorrent clients download from `sower serve`, and `sower download` from real seeds.

Every program runs on a host of its own in a test network without a way out (see network.py). What is tried, and what a
client cannot do by its nature, stands in cases.py and reverse.py. A full run writes docs/interop.md.
"""

import argparse
import os
import re
import shutil
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import network
import report
from cases import FORMATS, every_client_case
from dht import every_dht_case
from doors import every_door_case
from encryption import every_encrypted_case
from importing import every_import_case
from meeting import every_meeting_case
from publication import Publication
from reverse import every_reverse_case
from router import every_router_case
from server import Sower
from spreading import every_spreading_case
from trial import Outcome, Result, attempt
from utp import every_utp_case

REPOSITORY = Path(__file__).resolve().parents[2]
LOG_LINES = 20


@dataclass(frozen=True)
class Lab:
    """What all cases share."""

    sower: Path
    network: network.Network
    server_host: network.Host
    publication: Publication
    published: dict
    limit_seconds: int


def options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--sower",
        type=Path,
        default=os.environ.get("SOWER") or newest_build(),
        help="the program under test (default: $SOWER, else the newest build)",
    )
    parser.add_argument("--only", metavar="REGEX", default="", help="only cases that match, such as 'aria2.*magnet'")
    parser.add_argument("--require-all", action="store_true", help="what cannot be tried here is a failure")
    parser.add_argument("--check-limits", action="store_true", help="also try what clients cannot do; fail if they can")
    parser.add_argument("--jobs", type=int, default=2, help="cases at a time (default: %(default)s)")
    parser.add_argument("--limit", type=int, default=90, metavar="SECONDS", help="for one case (default: %(default)s)")
    parser.add_argument("--keep", action="store_true", help="keep the folder with all logs and downloads")
    parser.add_argument("--report", type=Path, default=REPOSITORY / "docs/interop.md", help="where a full run writes")
    return parser.parse_args()


def newest_build():
    builds = [REPOSITORY / "target" / profile / "sower" for profile in ("release", "debug")]
    return max(filter(Path.exists, builds), key=lambda build: build.stat().st_mtime, default=None)


def main():
    os.environ["PATH"] += ":/usr/sbin:/sbin"  # where Debian keeps the network's tools, out of most users' sight
    chosen = options()
    if chosen.sower is None:
        sys.exit("interop: there is no build of sower; run `cargo build --release`, or name one with --sower")
    every_case = (
        *every_reverse_case(),
        *every_encrypted_case(),
        *every_utp_case(),
        *every_dht_case(),
        *every_door_case(),
        *every_router_case(),
        *every_import_case(),
        *every_meeting_case(),
        *every_spreading_case(),
        *every_client_case(),
    )
    cases = [case for case in every_case if re.search(chosen.only, str(case))]
    obstacle = None if network.is_inside() else network.obstacle()
    if obstacle:
        results = [untried(case, obstacle) for case in cases]
        tell(*results)
    else:
        network.enter()
        results = try_all(cases, chosen)
    if all(result.outcome in (Outcome.PASSED, Outcome.IMPOSSIBLE) for result in results) and not chosen.only:
        report.write(results, chosen.report)
    sys.exit(conclude(results, chosen.require_all))


def untried(case, obstacle):
    """The result of a case where there can be no test network."""
    if case.limit:
        return Result(case, Outcome.IMPOSSIBLE, case.limit)
    return Result(case, Outcome.SKIPPED, obstacle)


def try_all(cases, chosen):
    """The results of all cases, told one by one as they come."""
    scratch = Path(tempfile.mkdtemp(prefix="sower-interop-"))
    try:
        lab = set_up(chosen, scratch)

        def try_one(number, case):
            state = scratch / f"case-{number}"
            result = attempt(case, lab, state, chosen.check_limits)
            tell(result, log=state / "log")
            if not chosen.keep:
                shutil.rmtree(state, ignore_errors=True)
            return result

        with ThreadPoolExecutor(chosen.jobs) as pool:
            results = list(pool.map(try_one, range(len(cases)), cases))
        # Clients, not only ours to mend, can run late where others take the machine; alone, each must be in time.
        for number, result in enumerate(results):
            if result.is_late and chosen.jobs > 1:
                print(f"again, alone: {result.case}", flush=True)
                results[number] = try_one(f"{number}-again", result.case)
        return results
    finally:
        if chosen.keep:
            print(f"kept {scratch}")
        else:
            shutil.rmtree(scratch, ignore_errors=True)


def set_up(chosen, scratch):
    """The network, the server, and a publication on it in each format."""
    net = network.Network()
    publication = Publication(scratch / "publication")
    host = net.add("sower")
    server = Sower(chosen.sower.resolve(), host, scratch / "server")
    server.start()
    published = {form: server.publish(publication, form) for form in FORMATS}
    return Lab(chosen.sower.resolve(), net, host, publication, published, chosen.limit)


def tell(*results, log=None):
    """Prints results, and the end of the client's log where one failed."""
    for result in results:
        lines = [str(result)]
        if result.outcome is Outcome.FAILED and log and log.exists():
            lines += ["    " + line for line in log.read_text(errors="replace").splitlines()[-LOG_LINES:]]
        print("\n".join(lines), flush=True)


def conclude(results, require_all):
    """Prints the counts; the exit code."""
    count = {outcome: sum(result.outcome is outcome for result in results) for outcome in Outcome}
    if require_all:
        count[Outcome.FAILED] += count.pop(Outcome.SKIPPED)
    print(f"{count[Outcome.IMPOSSIBLE]} cases are beyond the client, as listed in docs/interop.md; not counted below")
    print(f"{count[Outcome.PASSED]} passed, {count[Outcome.FAILED]} failed, {count.get(Outcome.SKIPPED, 0)} skipped")
    return 1 if count[Outcome.FAILED] else 0


if __name__ == "__main__":
    main()
