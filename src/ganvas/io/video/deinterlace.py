"""Interlaced frames made progressive by FFmpeg's bwdif: one frame for the two fields of each, at its time."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import Any

from ganvas.errors import need


def deinterlaced(frames: Iterable[Any], time_base: Any) -> Generator[Any]:
    """Yield as many frames as come in, each with its own time stamp; the order of fields is what the frames say."""
    graph: Any = None
    stamps: list[tuple[int | None, int]] = []
    for frame in frames:
        if graph is None:
            graph = _graph(frame, time_base)
        stamps.append((frame.pts, int(frame.duration or 0)))
        graph.push(frame)
        yield from _pulled(graph, stamps)
    if graph is not None:
        graph.push(None)
        yield from _pulled(graph, stamps)


def _graph(frame: Any, time_base: Any) -> Any:
    graph = need("av.filter", extra="video").Graph()
    first = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=time_base)
    filter_ = graph.add("bwdif", "mode=send_frame:parity=auto:deint=all")
    last = graph.add("buffersink")
    first.link_to(filter_)
    filter_.link_to(last)
    graph.configure()
    return graph


def _pulled(graph: Any, stamps: list[tuple[int | None, int]]) -> Generator[Any]:
    av = need("av", extra="video")
    while True:
        try:
            frame = graph.pull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return
        # The filter counts in halves of the time base; frames come out in the order in which they went in.
        frame.pts, frame.duration = stamps.pop(0)
        yield frame
