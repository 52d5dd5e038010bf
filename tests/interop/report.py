"""docs/interop.md: every client with its version, and for each way the seconds, or the reason why not; and how we read."""

import re

import dht
import doors
import encryption
import importing
import meeting
import router
import spreading
import utp
from cases import CLIENTS, FORMATS, ClientCase, Way
from dht import DhtCase, DhtReverseCase
from doors import DoorCase
from encryption import EncryptedCase, EncryptedSeedCase
from importing import ImportCase
from meeting import MeetingCase
from publication import SIZES
from reading import SECTION
from reverse import ReverseCase
from router import RouterCase
from spreading import SpreadingCase
from trial import Outcome
from utp import UtpCase

HEAD = """\
# Interoperability

Real BitTorrent clients download from Sower, and Sower from them. This page is made by `tests/interop/run.py` when no
case failed; it is not edited by hand.

Each client runs on a host of its own that reaches the server and nothing else, and downloads a folder of {files} files
({sizes} bytes; names with spaces and Unicode). A plain number is the seconds from the start of the client until it says
that it is done, with two clients at work on a machine of two cores: a trial of whether it works, and no measure of
speed. The name and the SHA-256 of every file agreed. A dash means that the client cannot do it, whoever the server is;
the number in brackets leads to the reason, below the tables."""
BY_HAND = """\
rqbit is its engine here, in the release that PyPI has with a binding for Python, and that speaks TCP alone. The program takes longer
to build than a test may. Version 9.1.0 of it was tried by hand on 2026-11-23 and downloaded v1 and hybrid, by torrent URL and by magnet
link, over TCP in a second and over uTP alone in two.

libtorrent 2.0 and 2.1 come from PyPI; Transmission 4 and qBittorrent 5 from Debian 13, each with the libraries of that release."""
REVERSE = """\
## To `sower download`

The .torrent was made by libtorrent; the seed and `sower download` meet at opentracker."""


class Notes:
    """Numbered notes; each is said once."""

    def __init__(self):
        self._notes = []

    def refer(self, note):
        """The mark that leads to the note."""
        if note not in self._notes:
            self._notes.append(note)
        return f"({self._notes.index(note) + 1})"

    def __str__(self):
        return "\n".join(f"{number}. {note}" for number, note in enumerate(self._notes, 1))


def write(results, path):
    """Writes the page, unless it says already what came of each case and only the seconds differ."""
    made = page(results)
    if not path.exists() or without_seconds(path.read_text()) != without_seconds(made):
        path.write_text(made)


def without_seconds(printed):
    """The page with every number that fills a cell of a table left out."""
    return re.sub(r"(?<=\| )\d+(?= \|)", "", printed)


def page(results):
    """The whole page, in Markdown."""
    by_case = {result.case: result for result in results}
    notes = Notes()
    parts = [HEAD.format(files=len(SIZES), sizes=", ".join(f"{size:,}" for size in SIZES.values()))]
    parts.append("\n".join(f"- **{way.value}**: {way.explanation}" for way in Way))
    for form in FORMATS:
        parts.append(f"## From Sower: {form} torrents")
        rows = []
        for client in sorted(CLIENTS, key=lambda client: client.name.lower()):
            told = [cell(by_case[ClientCase(client, form, way)], notes) for way in Way]
            rows.append([name(client, notes), client.version(), *told])
        parts.append(table(["client", "version", *(way.value for way in Way)], rows))
    parts += [BY_HAND, REVERSE]
    reverse = [result for result in results if isinstance(result.case, ReverseCase)]
    rows = [[it.case.seed.name, it.case.seed.version(), it.case.format, cell(it, notes)] for it in reverse]
    parts.append(table(["seed", "version", "format", "seconds"], rows))
    parts.append(doors.SECTION)
    rows = []
    for client in sorted({case.client for case in by_case if isinstance(case, DoorCase)}, key=lambda it: it.name.lower()):
        told = [cell(by_case[DoorCase(client, door)], notes) for door in doors.DOORS]
        rows.append([client.name, client.version(), *told])
    parts.append(table(["client", "version", *doors.DOORS], rows))
    parts.append(encryption.SECTION)
    parts.append(table_of_given(by_case, EncryptedCase, notes))
    parts.append(encryption.FROM_SEED)
    seeds = [result for result in results if isinstance(result.case, EncryptedSeedCase)]
    rows = [[it.case.client.name, it.case.client.version(), it.case.client.what, cell(it, notes)] for it in seeds]
    parts.append(table(["seed", "version", "how", "seconds"], rows))
    parts.append(importing.SECTION)
    imported = [result for result in results if isinstance(result.case, ImportCase)]
    rows = [[it.case.client.name, it.case.client.version(), it.case.format, cell(it, notes)] for it in imported]
    parts.append(table(["client", "version", "format", "seconds"], rows))
    parts.append(meeting.SECTION)
    met = [result for result in results if isinstance(result.case, MeetingCase)]
    rows = [[it.case.client.name, it.case.client.version(), it.case.format, cell(it, notes)] for it in met]
    parts.append(table(["client", "version", "format", "seconds"], rows))
    parts.append(spreading.SECTION)
    spread = [result for result in results if isinstance(result.case, SpreadingCase)]
    rows = [[it.case.client.name, it.case.client.version(), it.case.format, cell(it, notes)] for it in spread]
    parts.append(table(["client", "version", "format", "seconds"], rows))
    parts.append(utp.SECTION)
    parts.append(table_of_given(by_case, UtpCase, notes))
    parts.append(dht.SECTION)
    by_dht = [result for result in results if isinstance(result.case, (DhtCase, DhtReverseCase))]
    by_dht.sort(key=lambda result: (isinstance(result.case, DhtReverseCase), str(result.case).lower()))
    ways = {DhtCase: "from Sower", DhtReverseCase: "to `sower download`"}
    rows = [[it.case.client.name, it.case.client.version(), ways[type(it.case)], it.case.format, cell(it, notes)] for it in by_dht]
    parts.append(table(["client", "version", "way", "format", "seconds"], rows))
    parts.append(router.SECTION)
    routed = [result for result in results if isinstance(result.case, RouterCase)]
    rows = [[it.case.client.name, it.case.client.version(), it.case.client.what.replace("plain", "uTP"), it.case.protocol, cell(it, notes)] for it in routed]
    parts.append(table(["client", "version", "over", "protocol", "seconds"], rows))
    parts += ["## Notes", str(notes), SECTION]
    return "\n\n".join(parts) + "\n"


def table_of_given(by_case, kind, notes):
    """Cases of one kind: a row for each client and how it connects, a column for each thing that it is given."""
    clients = dict.fromkeys(case.client for case in by_case if isinstance(case, kind))
    rows = []
    for client in sorted(clients, key=lambda client: (client.name.lower(), client.what)):
        told = [cell(by_case[kind(client, *given)], notes) for given in encryption.GIVEN]
        rows.append([client.name, client.version(), client.what, *told])
    given = [f"{form}, {way.value}" for form, way in encryption.GIVEN]
    return table(["client", "version", "how", *given], rows)


def name(client, notes):
    """The client's name, with a note where it brings less than all files."""
    if client.makes_empty_files:
        return client.name
    return f"{client.name} {notes.refer(f'{client.name} makes no file for a file without bytes; the others agreed.')}"


def cell(result, notes):
    """Seconds, or a dash and the mark of the note that says why."""
    if result.outcome is Outcome.PASSED:
        return f"{result.seconds:.0f}"
    return f"– {notes.refer(f'{result.case.client.name} {result.reason}.')}"


def table(head, rows):
    """A table in Markdown."""
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows))
