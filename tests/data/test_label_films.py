"""Label maps as videos of codecs that change values: the ids are those of the maps that FFmpeg was given."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from ganvas.data import snapping
from ganvas.data.clips import Clips
from ganvas.data.films import Film, read_ids, read_snapped
from ganvas.errors import UserError

COLORS = {0: (70, 130, 180), 1: (128, 64, 128), 2: (0, 0, 142), 3: (220, 20, 60), 4: (107, 142, 35)}
LEGEND = list(COLORS.items())
CITYSCAPES = Path(snapping.__file__).parents[1] / "io" / "labels" / "ready" / "cityscapes.json"


def maps(count: int = 4, height: int = 96, width: int = 160) -> list[np.ndarray]:
    """Return label maps of a street: sky, road, a car and a person that move, a hedge."""
    y, x = np.mgrid[:height, :width]
    found = []
    for number in range(count):
        ids = np.where(y < height // 2 + (x // 40), 0, 1)
        ids[(np.abs(x - 40 - 4 * number) < 16) & (np.abs(y - 60) < 9)] = 2
        ids[(np.abs(x - 110 + 3 * number) < 5) & (np.abs(y - 55) < 14)] = 3
        ids[(y > 40) & (y < 52) & (x > 130)] = 4
        found.append(ids)
    return found


def film(path: Path, pictures, codec: str = "libx264", to: str = "yuv420p", form: str = "rgb24", **options) -> Path:
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=25, options={key: str(value) for key, value in options.items()})
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt, stream.time_base = to, Fraction(1, 25)
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format=form)
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def coloured(ids: np.ndarray, colors: dict[int, tuple[int, int, int]] = COLORS) -> np.ndarray:
    table = np.zeros((256, 3), np.uint8)
    for number, color in colors.items():
        table[number] = color
    return table[ids]


@pytest.mark.parametrize(
    ("codec", "to", "options", "most"),
    [
        ("libx264", "yuv444p", {"qp": 0}, 0.0),
        ("libx264rgb", "rgb24", {"qp": 0}, 0.0),
        ("libx264", "yuv420p", {"qp": 0}, 0.01),
        ("libx264", "yuv420p", {"crf": 23}, 0.02),
        ("libx265", "yuv420p10le", {"crf": 24, "x265-params": "log-level=none"}, 0.02),
        ("mpeg4", "yuv420p", {"b": 2_000_000}, 0.03),
    ],
)
def test_ids_of_lossless_and_lossy_films(tmp_path, codec, to, options, most):
    wanted = maps()
    path = film(tmp_path / "labels.mkv", [coloured(ids) for ids in wanted], codec, to, **options)
    for frame, ids in zip(Film(path).frames(), wanted):
        found, beside = read_snapped(frame, LEGEND)
        assert (found != ids).mean() <= most and beside < 0.2
        # What is wrong is at edges only: no pixel is off whose neighbours are all of its class.
        inner = np.ones(ids.shape, bool)
        for shift in (-2, -1, 1, 2):
            inner &= (np.roll(ids, shift, 0) == ids) & (np.roll(ids, shift, 1) == ids)
        assert (found == ids)[inner].mean() > 0.999


def test_a_legend_of_many_classes_is_told_apart(tmp_path):
    legend = [(entry["id"], tuple(entry["color"])) for entry in json.loads(CITYSCAPES.read_text())["labels"]]
    legend = list({color: (number, color) for number, color in legend}.values())
    ids = np.repeat(np.repeat(np.arange(16).reshape(4, 4), 24, 0), 40, 1)
    picture = coloured(ids, dict(enumerate(color for _, color in legend)))
    path = film(tmp_path / "labels.mp4", [picture] * 2, crf=18)
    found = read_ids(Film(path).frames()[1], [(place, color) for place, (_, color) in enumerate(legend)])
    assert (found != ids).mean() < 0.02


def test_a_mixture_is_not_taken_for_a_third_class():
    # Between red and blue lies purple, a class of its own elsewhere.
    colors = [(0, (200, 0, 0)), (1, (0, 0, 200)), (2, (100, 0, 100))]
    picture = np.zeros((12, 30, 3), np.uint8)
    picture[:, :10], picture[:, 10], picture[:, 11:20], picture[:, 20:] = (
        colors[0][1],
        colors[2][1],
        colors[1][1],
        colors[2][1],
    )
    ids, beside = snapping.snap(picture, colors, "a")
    assert set(np.unique(ids[:, :19])) == {0, 1} and (ids[:, 20:] == 2).all() and 0 < beside < 0.1


def test_gray_ids_far_apart_are_read_and_those_side_by_side_refused(tmp_path):
    spread = {number * 60: color for number, color in COLORS.items()}
    wanted = maps()
    pictures = [np.repeat((ids * 60)[..., None], 3, 2).astype(np.uint8) for ids in wanted]
    path = film(tmp_path / "a.mp4", pictures, crf=20)
    for frame, ids in zip(Film(path).frames(), wanted):
        assert (read_ids(frame, list(spread.items())) != ids * 60).mean() < 0.02
    path = film(tmp_path / "b.mp4", [np.repeat(ids[..., None], 3, 2).astype(np.uint8) for ids in wanted], crf=20)
    with pytest.raises(UserError, match="too close together"):
        read_ids(Film(path).frames()[0], LEGEND)


def test_training_takes_such_films_and_says_so(tmp_path):
    wanted, folder = maps(6), tmp_path / "set"
    folder.mkdir()
    film(folder / "labels.mp4", [coloured(ids) for ids in wanted], crf=20)
    film(folder / "frames.mp4", [coloured(ids) for ids in wanted], crf=20)
    entries = [{"id": number, "name": str(number), "color": list(color)} for number, color in COLORS.items()]
    (folder / "legend.json").write_text(json.dumps({"labels": entries}))
    clips = Clips(folder, flow_from="none")
    assert clips.num_labels == 5 and "h264 changes values" in clips.report.text
    assert (clips.read(0, [3])["label_map"][0, 0].numpy() != wanted[3]).mean() < 0.02
