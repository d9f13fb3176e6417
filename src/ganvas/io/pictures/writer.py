"""A picture file in the making: rows from the top, its name only when the last one is safe, its metadata carried."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import OpenImageIO as oiio  # noqa: N813 - as its own documentation does

from ganvas.errors import UserError
from ganvas.io.pictures import colour, encoders, metadata
from ganvas.io.pictures.boxes import put_boxes, put_texts
from ganvas.io.pictures.headers import BYTES_PER_SAMPLE, Header
from ganvas.io.pictures.paths import plain_beside
from ganvas.io.pictures.samples import adapt_header, check_size, convert_rows, is_carried, left_out
from ganvas.io.pictures.specs import output_spec, set_value

WRITTEN_WHOLE = frozenset({"webp", "jpegxl", "dpx"}) | encoders.WHOLE
"""Formats whose encoder keeps every row in memory until the last one came."""

# These are written from their last byte backwards, so that the file has its full length at once.
_BOTTOM_UP = frozenset({"bmp", "targa", "pnm"})
_OIIO_NAMES = {"exr": "openexr"}
_SPACE_MARGIN_BYTES = 4 << 20
# OpenImageIO 3.2 says this of every TIFF that has no EXIF to write; the file is whole.
_HARMLESS = "TIFFWriteCustomDirectory() of the Exif data"


class Writer:
    """A picture file that grows from the top; it gets its name only when the last row is safely on the disk.

    `header` says what the rows are, and what is written where the format can hold it (see `adapt_header`). Everything
    that can be checked is checked on making the Writer; the file is made on entering it.
    """

    def __init__(
        self,
        path: str | Path,
        header: Header,
        width: int,
        height: int,
        overwrite: bool = False,
        quality: int = 95,
        extra_metadata: Mapping[str, str | int | float] | None = None,
        allow_loss: bool = False,
        tile_px: int = 0,
    ) -> None:
        """Check everything that is known before the first row.

        Args:
            path: where the picture goes; the extension says its format.
            header: what the rows are; its width and height need not be the new picture's.
            width: of the new picture, in pixels.
            height: of the new picture, in pixels.
            overwrite: replace a file that is there.
            quality: 1 to 100 for JPEG, WebP, AVIF, HEIC and JPEG XL; at 100 WebP and JPEG XL are lossless. JPEG XL of
                more than 8 bits or with a colour profile always is.
            extra_metadata: further names and values, where the format has a place for them.
            allow_loss: permit fewer bits or no alpha where the format demands that.
            tile_px: a multiple of 16 makes TIFF and EXR tiled.

        Raises:
            UserError: the format cannot hold the picture, the name is taken or is the input's, the folder is missing.
        """
        self.path = Path(path)
        if not 1 <= quality <= 100:
            raise UserError(f"Cannot write {self.path}", f"A quality of {quality} is not between 1 and 100")
        self._allow_loss, self._quality, self._tile_px = allow_loss, quality, tile_px
        self._extra = extra_metadata or {}
        self._overwrite = overwrite
        self._prepare(header, width, height)
        _check_place(self.path, header.path, overwrite)
        self._temporary = self.path.parent / f".ganvas-{secrets.token_hex(6)}.part"
        self._output: oiio.ImageOutput | encoders.WholeOutput | None = None

    def write_in(self, folder: Path) -> None:
        """Let the unfinished file lie in a folder of the same disk, in place of what a killed process left there.

        Raises:
            OSError: it cannot be replaced.
        """
        self._temporary = folder / "picture.part"
        self._temporary.unlink(missing_ok=True)

    def _prepare(self, header: Header, width: int, height: int) -> None:
        """Check a page and settle how it is written."""
        self.header = header
        self.target = replace(adapt_header(header, self.path, self._allow_loss), width=width, height=height)
        if width < 1 or height < 1:
            raise UserError(f"Cannot write {self.path}", f"The picture would be {width} x {height} pixels")
        if self._tile_px and (self.target.format not in ("tiff", "exr") or self._tile_px % 16):
            raise UserError(f"Cannot write {self.path}", "Only TIFF and EXR have tiles, of a multiple of 16 pixels")
        check_size(self.path, width, height)
        self._records = self._read_records()
        self._shown, self._to_srgb = header, None
        profile = header.icc_profile
        if profile and header.channels <= 2 and not self.target.icc_profile and colour.is_converted(header.dtype):
            # A gray profile that the format cannot hold: the values change, so that the picture looks the same.
            self._to_srgb = colour.by_profile(profile)
            if self.target.channels > 2:
                self._shown = replace(header, channels=header.channels + 2)
        # The library would write them as tEXt, which is Latin-1, in UTF-8.
        self._texts = {
            key: value
            for key, _, value in self.target.metadata
            if self.target.format == "png" and isinstance(value, str) and not value.isascii()
        }
        written = tuple(item for item in self.target.metadata if item[0] not in self._texts)
        plain = replace(self.target, metadata=written)
        self._spec = output_spec(header, plain, self._quality, self._extra, self._tile_px)
        if self._records is not None and self.target.format in metadata.ENCODED:
            # These take them while they are encoded.
            blocks, notes = metadata.encode(self._records)
            for key, block in zip(("ganvas:exif", "ganvas:xmp"), blocks):
                if block:
                    set_value(self._spec, key, "", block)
            self._note("; ".join(notes))
        self._written = 0
        self._waiting: list[np.ndarray] = []
        self._row_bytes = width * self.target.channels * BYTES_PER_SAMPLE[self.target.dtype]

    def next_page(self, header: Header, width: int, height: int) -> None:
        """Begin another page of a TIFF when all rows of the one before are written.

        Raises:
            UserError: the page cannot be written.
        """
        output, note = self._output, self.target.note
        assert output is not None, "enter the Writer first"
        self._check_rows()
        self._prepare(header, width, height)
        self._note(note if note != self.target.note else "")
        if not output.open(plain_beside(self._temporary), self._spec, "AppendSubimage"):  # pyright: ignore[reportCallIssue]
            raise self._failed(_complaints(output))

    def __enter__(self) -> Self:
        output = encoders.create(_OIIO_NAMES.get(self.target.format, self.target.format))
        if output is None:
            raise UserError(
                f"Cannot write {self.path}",
                f"This build of OpenImageIO has no {self.target.format} writer",
                "Choose .png",
            )
        try:
            # The library's own message would not say which folder or why.
            self._temporary.touch(exist_ok=False)
        except OSError as error:
            raise _unwritable(self.path, error) from error
        self._output = output
        try:
            self._need_space(self._row_bytes * (self.target.height if self.target.format in _BOTTOM_UP else 1))
            if not output.open(plain_beside(self._temporary), self._spec):
                raise self._failed(_complaints(output))
        except BaseException:
            self._abandon()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._abandon()
            return
        try:
            self._finish()
        except BaseException:
            self._abandon()
            raise

    def write_rows(self, rows: np.ndarray) -> None:
        """Append (h, width, channels) rows of the header's dtype.

        Raises:
            UserError: the disk is full, or the encoder fails.
            ValueError: the rows are not what the header says, or more than were announced.
        """
        expected = (self.target.width, self.header.channels)
        if rows.ndim != 3 or rows.shape[1:] != expected or rows.dtype != self.header.dtype:
            raise ValueError(
                f"rows are {rows.dtype} {rows.shape}, not {self.header.dtype} (h, {expected[0]}, {expected[1]})"
            )
        waiting = sum(len(block) for block in self._waiting)
        if self._written + waiting + len(rows) > self.target.height:
            raise ValueError(f"more rows than the {self.target.height} announced")
        rows = np.ascontiguousarray(convert_rows(self._coloured(rows), self._shown, self.target))
        side = self._spec.tile_height
        if not side:
            self._put(rows)
            return
        # Kept copies, as the caller may use his array again.
        self._waiting.append(rows.copy())
        if waiting + len(rows) >= side or self._written + waiting + len(rows) == self.target.height:
            block = np.concatenate(self._waiting)
            whole = len(block) if self._written + len(block) == self.target.height else len(block) - len(block) % side
            self._waiting = [block[whole:]]
            self._put(block[:whole])

    def _coloured(self, rows: np.ndarray) -> np.ndarray:
        if self._to_srgb is None:
            return rows
        colours = self._to_srgb(rows)
        return colours if self.target.channels > 2 else np.delete(colours, (1, 2), axis=-1)

    def _read_records(self) -> metadata.Records | None:
        """Return what exiv2 carries; of what it cannot carry to this format, tell."""
        source, name = self.header, self.target.format
        known = source.path is not None and source.format in metadata.READ and metadata.is_available()
        if not is_carried(source, name):
            if known and name != "exr":
                records = metadata.read_records(source.path, self.target.width, self.target.height)
                self._note(left_out((datum.key() for data in (records.xmp, records.iptc) for datum in data), name))
            elif name in metadata.WRITTEN and source.format in metadata.READ and source.metadata:
                self._note(f"EXIF, XMP and IPTC are carried whole with: {metadata.INSTALL}")
            return None
        records = metadata.read_records(source.path if known else None, self.target.width, self.target.height)
        if name != "png":
            metadata.add_texts(records, source.metadata)
        return records

    def _note(self, text: str) -> None:
        if text:
            self.target = replace(self.target, note=f"{self.target.note}; {text}" if self.target.note else text)

    def _put(self, rows: np.ndarray) -> None:
        output = self._output
        assert output is not None, "enter the Writer first"
        self._need_space(len(rows) * self._row_bytes)
        left, right = self._spec.x, self._spec.x + self._spec.width
        first = self._spec.y + self._written
        if self._spec.tile_width and isinstance(output, oiio.ImageOutput):
            done = output.write_tiles(left, right, first, first + len(rows), 0, 1, rows)
        else:
            done = output.write_scanlines(first, first + len(rows), 0, rows)
        complaints = _complaints(output)
        if not done or complaints:
            raise self._failed(complaints)
        self._written += len(rows)

    def _finish(self) -> None:
        output = self._output
        assert output is not None
        self._check_rows()
        self._need_space(self._row_bytes * (self.target.height if self.target.format in WRITTEN_WHOLE else 1))
        self._output = None
        closed = output.close()
        complaints = _complaints(output)
        if not closed or complaints:
            raise self._failed(complaints)
        if self._records is not None and not self._records.is_empty and self.target.format in metadata.WRITTEN:
            for note in metadata.write_records(self._temporary, self.target.format, self._records):
                self._note(note)
        if self.target.format == "jpegxl" and self._temporary.stat().st_size < 128:
            put_boxes(self._temporary, [])
        if self._texts:
            put_texts(self._temporary, self._texts)
        try:
            with self._temporary.open("rb+") as file:
                os.fsync(file.fileno())
            _give_name(self._temporary, self.path, self._overwrite)
        except OSError as error:
            raise _unwritable(self.path, error) from error

    def _check_rows(self) -> None:
        if self._written != self.target.height:
            raise ValueError(f"{self._written} of {self.target.height} rows were written to {self.path}")

    def _abandon(self) -> None:
        output, self._output = self._output, None
        if output is not None:
            output.close()
            output.geterror()
        self._temporary.unlink(missing_ok=True)

    def _need_space(self, num_bytes: int) -> None:
        """Stop before the disk is full: on a failed write the JPEG encoder ends the process and the EXR one hangs."""
        # What the encoder still holds, and the file's own structure: of a small picture next to nothing.
        whole = self.target.height * self.target.width * self.target.channels * BYTES_PER_SAMPLE[self.target.dtype]
        margin = min(_SPACE_MARGIN_BYTES, (1 << 16) + whole)
        free = shutil.disk_usage(self.path.parent).free
        limit = _largest_file()
        if limit is not None and not (self._written and self.target.format in _BOTTOM_UP):
            free = min(free, limit - self._temporary.stat().st_size)
        if free < num_bytes + margin:
            raise UserError(
                f"Cannot write {self.path}",
                f"The disk is full: {max(free, 0) / 2**20:.1f} MB are left for {(num_bytes + margin) / 2**20:.1f} MB",
                "Free some space, or choose another folder; nothing was left behind",
            )

    def _failed(self, complaints: list[str]) -> UserError:
        reason = "; ".join(complaints)[:160].replace(str(self._temporary), self.path.name)
        why = f"The encoder failed ({reason or 'no reason given'})"
        return UserError(f"Cannot write {self.path}", why, "Check the disk; nothing was left behind")


def _complaints(output: oiio.ImageOutput | encoders.WholeOutput) -> list[str]:
    """Return what the encoder complains of, each once; it reports some failed writes here only."""
    lines = (line.strip() for line in output.geterror().splitlines()) if output.has_error else ()
    return list(dict.fromkeys(line for line in lines if line and _HARMLESS not in line))


def _check_place(path: Path, source: Path | None, overwrite: bool) -> None:
    if path.is_dir():
        raise UserError(f"Cannot write {path}", "It is a folder", "Name a file in it")
    if not path.parent.is_dir():
        raise UserError(f"Cannot write {path}", f"There is no folder {path.parent}", "Make it, or choose another")
    if not path.exists():
        return
    if source is not None and source.exists() and path.samefile(source):
        raise UserError(f"Cannot write {path}", "It is the input itself", "Choose another name")
    if not overwrite:
        raise UserError(f"Cannot write {path}", "The file is there already", "Choose another name, or give --overwrite")


def _give_name(temporary: Path, path: Path, overwrite: bool) -> None:
    if overwrite:
        temporary.replace(path)
        return
    try:
        # Unlike a rename, a link never replaces what another process put there in the meantime.
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:
        if path.exists():
            raise
        temporary.rename(path)
        return
    temporary.unlink()


def _unwritable(path: Path, error: OSError) -> UserError:
    return UserError(f"Cannot write {path}", error.strerror or str(error), "Choose a folder that you may write to")


def _largest_file() -> int | None:
    """Return the process's limit of a file's size in bytes, where there is one."""
    try:
        import resource
    except ImportError:
        return None
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    return None if limit == resource.RLIM_INFINITY else limit
