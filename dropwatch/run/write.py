"""What a run leaves in the file of `--write`: a recording, a capture, or nothing."""

import secrets
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from dropwatch import __version__
from dropwatch.host.host import Host
from dropwatch.model.drop import Drop, Event, Finding, Frame, MatchResult, Packet, Totals
from dropwatch.model.journey import Journey
from dropwatch.model.summary import Summary
from dropwatch.packet.rewrite import headers_only
from dropwatch.recording.addresses import Anonymizer
from dropwatch.recording.anonymize import Editor, searched_spi
from dropwatch.recording.new_file import NewFile, is_capture
from dropwatch.recording.questions import INTERFACE, NETNS, REASON, noted_function, noted_host
from dropwatch.recording.recorder import Recorder
from dropwatch.recording.start import End, Start
from dropwatch.render.finding import pcapng
from dropwatch.run.loop import Renderer
from dropwatch.run.options import Options

_PROC = Path("/proc/sys/kernel")
_KEY_BYTES = 32


class Keeping:
    """Keeps nothing. What the stages are built of goes through it, so that others can take note."""

    def host(self, host: Host) -> Host:
        return host

    def frame(self, look_up: Callable[[int], Frame]) -> Callable[[int], Frame]:
        return look_up

    def reason(self, look_up: Callable[[int | None], str | None]) -> Callable[[int | None], str | None]:
        return look_up

    def netns(self, look_up: Callable[[int], str | None]) -> Callable[[int], str | None]:
        return look_up

    def interface(self, look_up: Callable[[int, int], str | None]) -> Callable[[int, int], str | None]:
        return look_up

    def enrich(self, enrich: Callable[[Event], Drop]) -> Callable[[Event], Drop]:
        return enrich

    def keep(self, drop: Drop, match: MatchResult) -> None:
        """A drop that was asked for, just diagnosed."""

    def renderer(self, renderer: Renderer) -> Renderer:
        return renderer

    def judging(self, finding_of: Callable[[Event], Finding | None]) -> Callable[[Event], Finding | None]:
        """Where findings are no lines of their own, but go into summaries or journeys."""
        return finding_of

    def gathered(self, shown: Summary | Journey) -> None:
        """A summary or a journey that is shown now."""

    def begin(self, start: Start) -> None:
        """Makes the file. Raises WrongUsage or WhydropError when that cannot be."""

    def end(self, totals: Totals, not_packets: int, now: float) -> None:
        """The closing statement; `now` is the renderers' clock."""

    def close(self) -> None:
        """The file, whatever happened."""


def keeping_for(options: Options) -> Keeping:
    """By --write, --anonymize and --payload."""
    if options.write is None:
        return Keeping()
    anonymizer = Anonymizer(secrets.token_bytes(_KEY_BYTES)) if options.anonymize else None
    editor = Editor(anonymizer, payload=options.payload)
    if is_capture(options.write):
        return CaptureKeeping(options.write, editor, options.payload)
    return RecordingKeeping(options.write, editor)


def start_of(options: Options, own_netns: int | None) -> Start:
    """What a live run says of itself and of this machine."""
    now = time.time()
    return Start(
        program=__version__,
        kernel=_read("osrelease"),
        machine=_read("arch"),
        began=now,
        utc_offset=time.localtime(now).tm_gmtoff,
        own_netns=own_netns,
        all_drops=options.all_drops,
        causes=options.wanted.causes,
        payload=options.payload,
        anonymized=options.anonymize,
        view=options.view,
        count=options.count,
    )


def _read(name: str) -> str:
    try:
        return (_PROC / name).read_text().strip()
    except OSError:
        return ""


class _Telling:
    """A renderer that also says what it was given, before or after."""

    def __init__(
        self, renderer: Renderer, told: Callable[[Finding, float], None], ticked: Callable[[float], None]
    ) -> None:
        self._renderer = renderer
        self._told = told
        self._ticked = ticked

    def finding(self, finding: Finding, now: float) -> str:
        self._told(finding, now)
        return self._renderer.finding(finding, now)

    def tick(self, now: float) -> str:
        self._ticked(now)
        return self._renderer.tick(now)


class RecordingKeeping(Keeping):
    """A recording for `whydrop replay`."""

    def __init__(self, path: Path, editor: Editor) -> None:
        self._path = path
        self._recorder = Recorder(editor)
        self._file: NewFile | None = None
        self._host: Host | None = None
        self._interface: Callable[[int, int], str | None] | None = None

    def host(self, host: Host) -> Host:
        self._host = noted_host(host, self._recorder.asked)
        return self._host

    def frame(self, look_up: Callable[[int], Frame]) -> Callable[[int], Frame]:
        def noted(address: int) -> Frame:
            found = look_up(address)
            self._recorder.frame(address, found)
            return found

        return noted

    def reason(self, look_up: Callable[[int | None], str | None]) -> Callable[[int | None], str | None]:
        return noted_function(REASON, look_up, self._recorder.asked)

    def netns(self, look_up: Callable[[int], str | None]) -> Callable[[int], str | None]:
        return noted_function(NETNS, look_up, self._recorder.asked)

    def interface(self, look_up: Callable[[int, int], str | None]) -> Callable[[int, int], str | None]:
        self._interface = noted_function(INTERFACE, look_up, self._recorder.asked)
        return self._interface

    def enrich(self, enrich: Callable[[Event], Drop]) -> Callable[[Event], Drop]:
        def noted(event: Event) -> Drop:
            self._recorder.next_event()
            return enrich(event)

        return noted

    def keep(self, drop: Drop, match: MatchResult) -> None:
        """Also asks what another filter would ask, so that a replay can have one."""
        event = drop.event
        if self._host is not None and _may_carry(drop.packet):
            self._host.xfrm(event.netns, event.monotonic_ns)
        if self._interface is not None and event.netns and event.skb_iif:
            self._interface(event.netns, event.skb_iif)
        self._recorder.keep(drop, match)

    def renderer(self, renderer: Renderer) -> Renderer:
        return _Telling(renderer, lambda finding, now: self._recorder.told(now), self._recorder.tick)

    def gathered(self, shown: Summary | Journey) -> None:
        self._recorder.gathered(shown)

    def begin(self, start: Start) -> None:
        self._file = NewFile(self._path)
        self._recorder.begin(start, self._file.write)

    def end(self, totals: Totals, not_packets: int, now: float) -> None:
        self._recorder.end(
            End(
                seen_by=totals.seen_by or {},
                lost=totals.lost or {},
                not_packets=not_packets,
                blind_spots=totals.blind_spots,
                now=now,
                matched=totals.matched,
                reported=totals.reported,
                suppressed=totals.suppressed,
                journeys=totals.journeys,
            )
        )

    def close(self) -> None:
        if self._file is not None:
            try:
                self._recorder.leave()
            finally:
                self._file.close()


class CaptureKeeping(Keeping):
    """A capture that Wireshark opens: what was shown, one packet each."""

    def __init__(self, path: Path, editor: Editor, payload: bool) -> None:
        self._path = path
        self._editor = editor
        self._payload = payload
        self._capture = pcapng.Pcapng(self._shortened, editor.value)
        self._file: NewFile | None = None

    def renderer(self, renderer: Renderer) -> Renderer:
        return _Telling(renderer, lambda finding, now: self._write(finding), lambda now: None)

    def judging(self, finding_of: Callable[[Event], Finding | None]) -> Callable[[Event], Finding | None]:
        def written(event: Event) -> Finding | None:
            finding = finding_of(event)
            if finding is not None:
                self._write(finding)
            return finding

        return written

    def begin(self, start: Start) -> None:
        self._file = NewFile(self._path)
        system = f"Linux {start.kernel} {start.machine}".strip()
        self._file.write(self._capture.section(start.program, system))

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _write(self, finding: Finding) -> None:
        if self._file is not None:
            self._file.write(self._capture.finding(finding))

    def _shortened(self, event: Event) -> bytes:
        data = self._editor.event(replace(event, stack=())).packet
        return data if self._payload else headers_only(data, event.protocol, searched_spi(event))


def _may_carry(packet: Packet) -> bool:
    """IPsec, itself or inside an ICMP error or a tunnel: which flow it carries is known by policies only."""
    inside = [found for found in (packet.quoted, packet.inner) if found is not None]
    return packet.spi is not None or packet.proto in ("esp", "ah", "comp") or any(map(_may_carry, inside))
