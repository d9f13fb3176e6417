"""Tiny videos made with PyAV alone, and what PyAV alone says of a video: the oracle of the video tests."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np

WIDTH, HEIGHT, FRAMES = 48, 32, 20
FILM = Fraction(24000, 1001)
NTSC = Fraction(30000, 1001)


def moving_picture(number: int, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """Return a smooth picture that moves: (height, width, 3) of uint8."""
    y, x = np.mgrid[:height, :width]
    waves = [np.sin((x + 2 * number) / 7), np.cos((y - number) / 5), np.sin((x + y + number) / 11)]
    return np.rint(127.5 + 110 * np.stack(waves, axis=-1)).astype(np.uint8)


def make_clip(
    path: Path,
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    fps: Fraction = FILM,
    stamps: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    audio: str | None = "aac",
    rotation: int | None = None,
    metadata: dict[str, str] | None = None,
    movflags: str = "",
    frames: int = FRAMES,
    size: tuple[int, int] = (WIDTH, HEIGHT),
    tagged: bool = True,
    options: dict[str, str] | None = None,
) -> Path:
    """Write a clip of `frames` moving pictures with a sine for sound."""
    base = time_base or 1 / fps
    container_options = {}
    if path.suffix in (".mp4", ".mov"):
        container_options = {"video_track_timescale": str(base.denominator), "movflags": movflags or "+faststart"}
    with av.open(str(path), "w", container_options=container_options) as container:
        container.metadata.update(metadata or {})
        video: Any = container.add_stream(codec, rate=fps, options=options or {})
        video.width, video.height = size
        video.pix_fmt = pixel_format
        video.time_base = base
        context = video.codec_context
        context.time_base = base
        if tagged:
            context.colorspace = context.color_primaries = context.color_trc = context.color_range = 1
        if rotation is not None:
            video.set_display_rotation(rotation)
        sound: Any = container.add_stream(audio, rate=48000, layout="mono") if audio else None
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(moving_picture(number, *size), format="rgb24")
            frame = frame.reformat(format=pixel_format, dst_colorspace=1, dst_color_range=1)
            if not tagged:
                frame.colorspace, frame.color_range = 2, 0
            frame.pts = stamps[number] if stamps else number
            frame.time_base = base
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        if sound:
            _add_sine(container, sound)
    return path


def _add_sine(container: Any, sound: Any) -> None:
    wave = 0.3 * np.sin(np.arange(39 * 1024) * (2 * np.pi * 440 / 48000))
    form = sound.codec_context.format.name
    samples = wave.astype(np.float32) if form.startswith("flt") else (wave * 32767).astype(np.int16)
    for start in range(0, len(samples), 1024):
        frame = av.AudioFrame.from_ndarray(samples[None, start : start + 1024].copy(), format=form, layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 48000, start, Fraction(1, 48000)
        container.mux(sound.encode(frame))
    container.mux(sound.encode(None))


class Facts(NamedTuple):
    """What a file holds: stamps of the decoded frames, packets of sound, and so on, all times in seconds."""

    stamps: list[Fraction]
    sound: list[tuple[Fraction, bytes]]
    metadata: dict[str, str]
    size: tuple[int, int]
    pixel_format: str
    codec: str


def facts(path: Path) -> Facts:
    """Return what PyAV reads out of a file."""
    sound: list[tuple[Fraction, bytes]] = []
    stamps: list[Fraction] = []
    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        for packet in container.demux():
            if packet.stream.type == "audio" and packet.size:
                sound.append((packet.pts * packet.time_base, bytes(packet)))
            elif packet.stream.type == "video":
                stamps += [frame.pts * frame.time_base for frame in packet.decode()]
        shape = (context.width, context.height)
        return Facts(
            stamps, sound, dict(container.metadata), shape, context.pix_fmt or "", context.codec.canonical_name
        )
