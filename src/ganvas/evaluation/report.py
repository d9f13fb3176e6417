"""One page on the results of scoring, complete in itself: numbers with their intervals, conditions, small pictures."""

from __future__ import annotations

import base64
import html
import math
import struct
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from ganvas.errors import UserError
from ganvas.evaluation import confusion as confusion_picture
from ganvas.evaluation.results import Results, Score
from ganvas.evaluation.sets import read_picture

THUMBNAIL_PX = 144
MOST_ROWS = 500
STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:64em;margin:2em auto;padding:0 1em;color:#222;background:#fff}
h1{font-size:1.5em} h2{font-size:1.15em;margin-top:2em}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}
th,td{padding:.3em .9em .3em 0;text-align:right;border-bottom:1px solid #ddd}
th:first-child,td:first-child{text-align:left}
small,.quiet{color:#666} code{background:#f3f3f3;padding:.1em .3em} .wide{overflow-x:auto}
figure{margin:0 0 1em} figure img{height:144px;margin:2px}
"""


def page(results: Results, command: str = "") -> str:
    """Return the page as HTML with its pictures inside.

    Args:
        results: what came of scoring.
        command: the command that repeats it.
    """
    parts = [
        f"<h1>Scores of {results.kind}</h1>",
        f"<p><code>{html.escape(command)}</code></p>" if command else "",
        _scores(results.scores),
        "".join(f"<p><small>{html.escape(note)}.</small></p>" for note in results.notes),
        _confusions(results),
        "<h2>Pictures</h2>" if results.shown else "",
        *(_pictures(caption, paths) for caption, paths in results.shown),
        _rows(results),
        "<h2>Conditions</h2>",
        _list({key: str(value) for key, value in results.conditions.items()}),
        "<h2>Not scored</h2>" + _list(dict(results.problems)) if results.problems else "",
    ]
    body = "\n".join(part for part in parts if part)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>Scores of {results.kind}</title><style>{STYLE}</style><body>\n{body}\n</body></html>\n"
    )


INTERVALS = (
    "Intervals of means are Student's t over pictures, of shares Wilson's; those of distances between sets are found "
    "by bootstrap, which is too wide where the sets hardly differ. Each holds for one score by itself."
)


def _scores(scores: Sequence[Score]) -> str:
    head = "<tr><th>score<th>value<th>95 % interval<th>better<th>preprocessing</tr>"
    lines = [
        f"<tr><td>{html.escape(score.name)}<td>{number(score.value)}<td>{interval(score)}"
        f"<td>{score.better}<td><code>{score.preprocessing}</code></tr>"
        for score in scores
    ]
    return f'<div class="wide"><table>{head}{"".join(lines)}</table></div><p>{INTERVALS}</p>'


def number(value: float) -> str:
    """Return a number as tables show it: five digits, and no fewer before the point."""
    if not math.isfinite(value):
        return "infinite" if value == math.inf else str(value)
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        return f"{value:.{max(0, 4 - max(0, math.floor(math.log10(abs(value)))))}f}" if value else "0"
    return f"{value:.3e}"


def interval(score: Score) -> str:
    """Return the interval of a score as tables show it, or an empty string."""
    return f"{number(score.low)} to {number(score.high)}" if score.has_interval else ""


def counting(rows: Mapping[str, Mapping[str, float]]) -> set[str]:
    """Return the columns that hold whole numbers only."""
    columns = next(iter(rows.values()), {})
    return {column for column in columns if all(row[column] % 1 == 0 for row in rows.values())}


def _rows(results: Results) -> str:
    if not results.rows:
        return ""
    columns = list(next(iter(results.rows.values())))
    shown = list(results.rows.items())[:MOST_ROWS]
    counts = counting(results.rows)
    lines = []
    for name, row in shown:
        cells = (f"{row[column]:.0f}" if column in counts else number(row[column]) for column in columns)
        lines.append(f"<tr><td>{html.escape(name)}" + "".join(f"<td>{cell}" for cell in cells) + "</tr>")
    head = "<tr><th>name" + "".join(f"<th>{html.escape(column)}" for column in columns) + "</tr>"
    more = len(results.rows) - len(shown)
    rest = f"<p class=quiet>and {more} more</p>" if more else ""
    return f'<h2>One by one</h2><div class="wide"><table>{head}{"".join(lines)}</table></div>{rest}'


def _confusions(results: Results) -> str:
    if not results.confusions:
        return ""
    figures = "".join(
        f"<figure>{confusion_picture.svg(matrix, name)}<figcaption>{html.escape(name)}: rows are the class asked for, "
        "columns what it is taken for, in percent</figcaption></figure>"
        for name, matrix in results.confusions.items()
    )
    return f'<h2>Confusion</h2><div class="wide">{figures}</div>'


def _list(items: dict[str, str]) -> str:
    lines = "".join(f"<tr><td>{html.escape(key)}<td>{html.escape(value)}</tr>" for key, value in items.items())
    return f'<div class="wide"><table class="quiet">{lines}</table></div>'


def _pictures(caption: str, paths: Sequence[Path]) -> str:
    shown = "".join(
        f'<img src="data:image/png;base64,{base64.b64encode(thumbnail).decode()}" alt="{html.escape(path.name)}" '
        f'title="{html.escape(path.name)}">'
        for path in paths
        if (thumbnail := _thumbnail(path))
    )
    return f"<figure>{shown}<figcaption>{html.escape(caption)}</figcaption></figure>"


def _thumbnail(path: Path) -> bytes:
    try:
        picture = read_picture(path).clamp(0, 1)
    except UserError:
        return b""
    height, width = picture.shape[-2:]
    if height > THUMBNAIL_PX:
        size = (THUMBNAIL_PX, max(1, round(width * THUMBNAIL_PX / height)))
        picture = F.interpolate(picture, size=size, mode="bicubic", antialias=True).clamp(0, 1)
    return _png(picture[0])


def _png(picture: Tensor) -> bytes:
    """Return a picture (3, H, W) in [0, 1] as the bytes of a PNG file."""
    rows = (picture.permute(1, 2, 0).numpy() * 255 + 0.5).astype(np.uint8)
    height, width = rows.shape[:2]
    raw = np.concatenate([np.zeros((height, 1), np.uint8), rows.reshape(height, -1)], axis=1).tobytes()
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(raw, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
