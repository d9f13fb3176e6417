"""Files of more than one picture: pages of TIFF, frames of GIF, APNG and WebP, parts and channels of OpenEXR.

All are upscaled where the output's format holds them; where it does not, the result says which one was taken.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from ganvas import device as devices
from ganvas.errors import UserError
from ganvas.inference.picture import streaming
from ganvas.inference.picture.sizes import target_size
from ganvas.inference.picture.streaming import Output
from ganvas.inference.picture.upscale import Upscaler
from ganvas.inference.result import Reports, Result
from ganvas.inference.rows.pixels import Pixels, survey
from ganvas.io.pictures import animations, parts
from ganvas.io.pictures.images import Header, Reader, Writer, read_header
from ganvas.io.pictures.samples import format_for

_MEMORY_SHARE = 0.6


def upscale_any(up: Upscaler, source: Path, target: Path, output: Output, progress: Reports) -> Result:
    """Upscale a file with all pictures in it that the target can hold.

    Raises:
        UserError: as `streaming.upscale_file`.
    """
    header, name = read_header(source), format_for(target)
    many = header.frames > 1 or bool(header.unread)
    if not many or output.crop is not None:
        return streaming.upscale_file(up, source, target, output, progress)
    if header.format == "exr" and name == "exr":
        return _upscale_parts(up, source, target, output, header, progress)
    if header.frames > 1 and header.format == name == "tiff" and output.alpha != "separate":
        return _upscale_pages(up, source, target, output, header.frames, progress)
    if header.frames > 1 and header.format in animations.ANIMATED and name in animations.ANIMATED:
        return _upscale_animation(up, source, target, output, header, progress)
    result = streaming.upscale_file(up, source, target, output, progress)
    if header.frames == 1:
        return result
    one = {"tiff": "page", "exr": "part"}.get(header.format, "frame")
    where = {"tiff": ".tif", "exr": ".exr"}.get(header.format, ".png, .webp, .avif or a video")
    note = f"{one} 1 of {header.frames}, as {name} holds one picture; {where} holds all"
    return replace(result, note=_joined(result.note, note))


def _upscale_pages(up: Upscaler, source: Path, target: Path, output: Output, pages: int, progress: Reports) -> Result:
    began = time.perf_counter()
    writer: Writer | None = None
    header, width, height = read_header(source), 0, 0
    try:
        for page in range(pages):
            with Reader(source, page) as opened:
                reader = streaming.seen(opened, output.alpha)
                header = replace(reader.header, frames=pages)
                high, wide = target_size(
                    header.height, header.width, up.scale, output.factor, output.size, output.long_side
                )
                if writer is None:
                    width, height = wide, high
                    writer = streaming.writer_for(target, header, (wide, high), output)
                    writer.__enter__()
                else:
                    writer.next_page(header, wide, high)

                def tell(done: int, rows: int, page: int = page) -> None:
                    progress(page * rows + done, pages * rows)

                for rows in streaming.upscaled(up, reader, output, (high, wide), tell)[0]:
                    writer.write_rows(rows)
        assert writer is not None
        writer.__exit__(None, None, None)
    except BaseException as error:
        if writer is not None:
            writer.__exit__(type(error), error, error.__traceback__)
        raise
    return streaming.result_of(
        up, source, target, (width, height), began, header, _joined(f"{pages} pages", writer.target.note)
    )


def _upscale_animation(
    up: Upscaler, source: Path, target: Path, output: Output, header: Header, progress: Reports
) -> Result:
    began = time.perf_counter()
    clip = animations.read_animation(source, header)
    if output.alpha != "auto":
        why = "Frames are laid over each other by their alpha"
        raise UserError(f"--alpha {output.alpha} means nothing for the animation {source}", why, "Leave it out")
    like = clip.header
    high, wide = target_size(like.height, like.width, up.scale, output.factor, output.size, output.long_side)

    def frames() -> Iterator[np.ndarray]:
        for number, frame in enumerate(clip):
            yield up(frame.picture, size=(wide, high))
            progress(number + 1, clip.frames)

    notes = animations.write_animation(target, clip, frames(), (wide, high), output.overwrite, output.quality)
    note = _joined(f"{clip.frames} frames", like.note, *notes)
    result = streaming.result_of(up, source, target, (wide, high), began, like, note)
    return replace(result, frames=clip.frames)


def _upscale_parts(
    up: Upscaler, source: Path, target: Path, output: Output, header: Header, progress: Reports
) -> Result:
    began = time.perf_counter()
    try:
        before = parts.read_parts(source)
    except UserError as error:
        if "extra" not in str(error):
            raise
        result = streaming.upscale_file(up, source, target, output, progress)
        return replace(
            result, note=_joined(result.note, "all parts and channels are kept with: pip install 'ganvas[pictures]'")
        )
    high, wide = target_size(header.height, header.width, up.scale, output.factor, output.size, output.long_side)
    across, down = wide / header.width, high / header.height
    _check_memory(before, across * down)
    total = sum(len(part.groups()) for part in before)
    after, done, plain = [], 0, []
    for part in before:
        grown: dict[str, np.ndarray] = {}
        for group in part.groups():
            rows = np.stack([part.channels[name] for name in group], axis=-1)
            size = (max(1, round(rows.shape[1] * across)), max(1, round(rows.shape[0] * down)))
            if parts.is_colour(group, part):
                rows = _upscaled_light(up, rows, size, output.scene_linear)
            else:
                rows = _interpolated(rows, size, group[0])
                plain += group
            grown |= {name: rows[..., at] for at, name in enumerate(group)}
            done += 1
            progress(done, total)
        after.append(parts.Part({name: grown[name] for name in part.channels}, part.header))
    parts.write_parts(target, after, output.overwrite)
    notes = [f"{len(after)} parts"] if len(after) > 1 else []
    if plain:
        notes.append(f"channels that are no colours are interpolated, their values kept: {', '.join(plain[:12])}")
    return streaming.result_of(up, source, target, (wide, high), began, header, "; ".join(notes))


def _upscaled_light(up: Upscaler, rows: np.ndarray, size: tuple[int, int], scene_linear: bool | None) -> np.ndarray:
    """Return the colours of one layer, (H, W, 1 to 4), at `size` (width, height); alpha is associated, as EXR's is."""
    channels = rows.shape[2]
    plain = Pixels(channels=channels, dtype=rows.dtype, associated_alpha=channels in (2, 4))
    pixels = survey(plain, [rows], True if scene_linear is None else scene_linear)
    strips = up.stream(lambda start, stop: rows[start:stop], rows.shape[0], rows.shape[1], pixels, (size[1], size[0]))
    return np.concatenate(list(strips))


_EXACT = ("z", "depth", "id", "zback")


def _interpolated(rows: np.ndarray, size: tuple[int, int], name: str) -> np.ndarray:
    """Return a channel of numbers at `size` (width, height): depths and ids by their nearest, others between four.

    A depth or id between two others would be that of no thing.
    """
    width, height = size
    word = name.rpartition(".")[2].lower()
    if rows.dtype.kind != "f" or word in _EXACT or "crypto" in name.lower() or not np.isfinite(rows).all():
        across = np.minimum(((np.arange(width) + 0.5) * rows.shape[1] / width).astype(int), rows.shape[1] - 1)
        down = np.minimum(((np.arange(height) + 0.5) * rows.shape[0] / height).astype(int), rows.shape[0] - 1)
        return rows[down][:, across]
    values = torch.from_numpy(np.ascontiguousarray(rows[..., 0], np.float32))[None, None]
    grown = F.interpolate(values, (height, width), mode="bilinear", antialias=height < rows.shape[0])
    return grown[0, 0].numpy()[..., None].astype(rows.dtype)


def _joined(*notes: str) -> str:
    return "; ".join(note for note in notes if note)


def _check_memory(before: list[parts.Part], factor: float) -> None:
    needed = sum(channel.nbytes for part in before for channel in part.channels.values()) * (1 + factor)
    free = devices.free_memory(devices.pick("cpu"))
    if needed > _MEMORY_SHARE * free:
        raise UserError(
            f"All parts and channels take {needed / 2**30:.1f} GB",
            f"They are made whole, and {free / 2**30:.1f} GB are free",
            "Split the file, or write another format, which takes its first picture only",
        )
