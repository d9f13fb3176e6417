"""The drawn set of shapes and textures: repeatable, different, and what each class promises."""

from __future__ import annotations

import numpy as np
import pytest

from ganvas.drawn.shapes import CLASSES, SHAPES, TEXTURES, Shapes, draw
from ganvas.errors import UserError


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("size_px", [32, 64])
def test_pictures_are_repeatable_and_have_two_colours(name, size_px):
    first, again, other = draw(name, size_px, 3), draw(name, size_px, 3), draw(name, size_px, 4)
    assert first.shape == (size_px, size_px, 3) and first.dtype == np.uint8
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    assert first.std() > 8


def areas(name):
    """Return the share of pixels that are not of the corners' colour, over some pictures."""
    from ganvas.drawn import shapes

    axis = (np.arange(400) + 0.5) / 200 - 1
    x, y = np.meshgrid(axis, axis)
    return float(((shapes.SHAPES.get(name) or shapes.TEXTURES[name])(x, y) > 0).mean())


def test_shapes_have_the_areas_of_geometry():
    assert areas("disc") == pytest.approx(np.pi / 4, abs=0.01)
    assert areas("ring") == pytest.approx(np.pi * (1 - 0.44**2) / 4, abs=0.01)
    assert areas("square") == pytest.approx(0.64, abs=0.01)
    # Inradius 0.5, so each side is 2 * 0.5 * sqrt(3) long and the height 1.5.
    assert areas("triangle") == pytest.approx(np.sqrt(3) * 1.5 / 2 / 4, abs=0.01)
    # Ten triangles between centre, tip (radius 1) and notch (0.45).
    assert areas("star") == pytest.approx(10 * 0.5 * 0.45 * np.sin(np.pi / 5) / 4, abs=0.01)
    assert areas("cross") == pytest.approx((2 * 0.56 * 1.9 - 0.56**2) / 4, abs=0.01)
    for name in ("stripes", "checks", "waves"):
        assert areas(name) == pytest.approx(0.5, abs=0.05)


def test_rare_classes_are_rare_and_sets_can_be_disjoint():
    source = Shapes(32, 20, {"star": 0.1})
    names = [group.split("/")[0] for group in source.groups()]
    assert names.count("star") == 2 and names.count("disc") == 20 and len(source) == 11 * 20 + 2
    assert not set(source.groups()) & set(Shapes(32, 20, first=20).groups())
    part = source.subset([0, 13])
    sample = part.sample(1, np.random.default_rng(0))
    assert CLASSES[int(sample["label"])] == part.groups()[1].split("/")[0]
    assert len(SHAPES) == len(TEXTURES) == 6


@pytest.mark.parametrize("rare", [{"stra": 0.1}, {"star": 0.0}, {"star": 2.0}])
def test_rarities_that_cannot_be_are_refused(rare):
    with pytest.raises(UserError):
        Shapes(32, 4, rare)


def test_an_unknown_class_is_answered_with_the_nearest():
    with pytest.raises(UserError, match="Did you mean star"):
        draw("stra", 32, 0)


def test_the_verb_writes_folders_that_train(tmp_path, capsys):
    from ganvas import cli
    from ganvas.data.classes import ClassPictures

    out = tmp_path / "set"
    arguments = ["shapes", str(out), "--size", "16", "--per-class", "4", "--rare", "star=0.5"]
    assert cli.main(arguments) == cli.DONE
    source = ClassPictures(out, 16, mirror=False)
    assert source.report.counts == {name: 2 if name == "star" else 4 for name in sorted(CLASSES)}
    index = source.groups().index("ring/000003.png")
    assert np.array_equal(source.square(index).permute(1, 2, 0).numpy(), draw("ring", 16, 3))
    assert cli.main(arguments) == cli.USER_ERROR and "is not empty" in capsys.readouterr().err
