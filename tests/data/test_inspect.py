"""The doctor finds what was broken on purpose, says what mends it, and is silent about what is whole."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganvas.cli import main
from ganvas.data.inspect import Examination, examine, write_legend
from ganvas.data.labels import LabelledPictures
from ganvas.errors import UserError

COLORS = np.array([(70, 130, 180), (128, 64, 128), (0, 0, 142), (107, 142, 35)], np.uint8)


def _ids(seed: int) -> np.ndarray:
    return np.kron(np.random.default_rng(seed).integers(0, 4, (4, 6)), np.ones((5, 5))).astype(np.uint8)


def _save(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    for number in range(3):
        ids = _ids(number)
        _save(tmp_path / f"frames/{number:06d}.png", COLORS[ids])
        _save(tmp_path / f"labels/{number:06d}.png", ids)
        objects = ids.astype(np.uint16) * 1000 + (np.arange(30) // 15).astype(np.uint16)
        _save(tmp_path / f"instances/{number:06d}.png", objects)
    return tmp_path


def _found(examination: Examination, kind: str) -> str:
    return "\n".join(f"{one.what} | {one.mend}" for one in examination.findings if one.kind == kind)


def test_a_whole_data_set_has_facts_and_no_findings(whole: Path) -> None:
    result = examine(whole)
    assert result.findings == [] and result.is_healthy
    assert result.facts["scenes"] == 3 and result.facts["sizes"] == {"30x20": 3} and result.facts["num_labels"] == 4
    share = np.mean([(_ids(number) == 2).mean() for number in range(3)])
    assert result.facts["labels"]["2"] == f"{share:.2%}"


def test_ids_beyond_the_labels_are_named_with_file_and_pixel(whole: Path) -> None:
    ids = _ids(1)
    ids[7, 11] = 9
    _save(whole / "labels/000001.png", ids)
    errors = _found(examine(whole, num_labels=4), "error")
    assert "000001.png at pixel x=11, y=7 holds 9" in errors and "--num-labels 10" in errors
    assert "--ignore 255 9" in errors
    assert LabelledPictures(whole, 4, ignore=(255, 9)).num_labels == 4


def test_8_bit_instances_that_wrapped_are_found_and_16_bit_ones_are_not(whole: Path) -> None:
    for number in range(3):
        objects = np.asarray(Image.open(whole / f"instances/{number:06d}.png")).astype(np.int64)
        _save(whole / f"instances/{number:06d}.png", np.minimum(objects, 255).astype(np.uint8))
    errors = _found(examine(whole), "error")
    assert "8-bit instance maps cannot hold their ids" in errors and "id 255" in errors and "16-bit" in errors


def test_8_bit_instances_that_hold_their_ids_are_fine(whole: Path) -> None:
    for number in range(3):
        _save(whole / f"instances/{number:06d}.png", _ids(number) * 2 + (np.arange(30) // 15).astype(np.uint8))
    assert examine(whole).findings == []


def test_instances_of_other_pictures_are_noticed(whole: Path) -> None:
    for number in range(3):
        _save(whole / f"instances/{number:06d}.png", _ids(number + 7).astype(np.uint16) * 1000)
    assert "One instance covers several classes" in _found(examine(whole), "warning")


def test_colours_without_a_legend_are_found_and_mended(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(3):
        _save(whole / f"labels/{number:06d}.png", COLORS[_ids(number)])
    assert main(["inspect", str(whole)]) == 1
    said = capsys.readouterr().out
    assert "colour pictures" in said and "--write-legend" in said
    assert main(["inspect", str(whole), "--write-legend"]) == 0
    assert len(json.loads((whole / "legend.json").read_text())["labels"]) == 4
    assert examine(whole).is_healthy
    label_map = LabelledPictures(whole).whole(0)["label_map"][0].numpy()
    pairs = set(zip(label_map.ravel().tolist(), _ids(0).ravel().tolist()))
    assert len(pairs) == 4
    with pytest.raises(UserError, match="not overwritten"):
        write_legend(whole)


def test_gray_values_of_a_palette_are_suspected(whole: Path) -> None:
    gray = (COLORS @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)
    for number in range(3):
        _save(whole / f"labels/{number:06d}.png", gray[_ids(number)])
        (whole / f"instances/{number:06d}.png").unlink()
    (whole / "instances").rmdir()
    result = examine(whole)
    assert "gray values of a palette" in _found(result, "warning")
    assert "ganvas label" in _found(result, "note")


def test_black_and_white_masks_are_noticed(whole: Path) -> None:
    for number in range(3):
        _save(whole / f"labels/{number:06d}.png", (_ids(number) > 1).astype(np.uint8) * 255)
    assert "masks in black and white" in _found(examine(whole), "warning")


def test_label_maps_stored_as_jpeg_are_errors(whole: Path) -> None:
    for number in range(3):
        (whole / f"labels/{number:06d}.png").unlink()
        _save(whole / f"labels/{number:06d}.jpg", _ids(number))
    assert "stored with loss" in _found(examine(whole), "error")


def test_names_sizes_and_broken_files(whole: Path) -> None:
    (whole / "labels/000000.png").rename(whole / "labels/zero.png")
    _save(whole / "labels/000001.png", _ids(1)[:-1])
    cut = (whole / "frames/000002.png").read_bytes()[:20]
    (whole / "frames/000002.png").write_bytes(cut)
    result = examine(whole)
    assert "zero.png has no picture and no instances" in _found(result, "warning")
    errors = _found(result, "error")
    assert "000001 (picture 30x20, labels 30x19" in errors and "nearest neighbour" in errors
    assert "000002.png" in errors


def test_pairs_of_pictures_are_examined_too(tmp_path: Path) -> None:
    _save(tmp_path / "A/1.png", COLORS[_ids(0)])
    _save(tmp_path / "B/1.png", COLORS[_ids(0)])
    _save(tmp_path / "B/2.png", COLORS[_ids(0)])
    result = examine(tmp_path)
    assert result.facts["scenes"] == 1 and "2.png has no input" in _found(result, "warning") and result.is_healthy


def test_the_verb_prints_json_and_still_describes_plain_folders(
    whole: Path, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", str(whole), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["findings"] == []
    plain = tmp_path_factory.mktemp("plain")
    _save(plain / "one.png", _ids(0))
    assert main(["inspect", str(plain), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["pictures"] == 1
