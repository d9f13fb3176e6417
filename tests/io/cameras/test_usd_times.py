"""Times of USD: splines beside samples, and lenses in single precision; against OpenUSD and plain numbers."""

import numpy as np
import pytest

from ganvas.errors import UserError
from ganvas.io.cameras import cameras
from ganvas.io.cameras.cameras import Given, plain_camera

Usd = pytest.importorskip("pxr.Usd")
UsdGeom = pytest.importorskip("pxr.UsdGeom")


def stage(path):
    made = Usd.Stage.CreateNew(str(path))
    UsdGeom.SetStageMetersPerUnit(made, 0.01)
    UsdGeom.SetStageUpAxis(made, "Y")
    return made, UsdGeom.Camera.Define(made, "/cam")


@pytest.mark.skipif(not hasattr(Usd.Attribute, "HasSpline"), reason="an OpenUSD without splines")
@pytest.mark.parametrize("of_lens", [True, False])
def test_splines_are_evaluated_as_openusd_does(of_lens, tmp_path):
    from pxr import Ts

    made, camera = stage(tmp_path / "a.usda")
    attribute = camera.CreateFocalLengthAttr() if of_lens else camera.AddTranslateXOp().GetAttr()
    kind = "float" if of_lens else "double"
    spline = Ts.Spline(kind)
    for time, value in ((1.0, 35.0), (5.0, 75.0)):
        knot = Ts.Knot(kind)
        knot.SetTime(time)
        knot.SetValue(value)
        knot.SetNextInterpolation(Ts.InterpLinear)
        spline.SetKnot(knot)
    attribute.SetSpline(spline)
    made.GetRootLayer().Save()
    shot = cameras.read(tmp_path / "a.usda").cameras
    assert [one.frame for one in shot] == [1, 2, 3, 4, 5]
    found = [one.focal_mm if of_lens else 100 * one.matrix[0, 3] for one in shot]
    assert found == pytest.approx([35, 45, 55, 65, 75])


@pytest.mark.parametrize("unit", [0.01, 1.0, 0.1])
def test_a_lens_is_read_as_it_was_written(unit, tmp_path):
    """Far nearer than the single precision in which USD holds it, which is off by 2e-8."""
    told = plain_camera(np.eye(4), 35.2, (36.0, 20.25), (1920, 1080), 1, shift_mm=(0.3, -0.1))
    cameras.write(tmp_path / "a.usda", [told], Given(metres_per_unit=unit))
    (one,) = cameras.read(tmp_path / "a.usda", Given(size_px=(1920, 1080))).cameras
    np.testing.assert_allclose(one.focal_px, told.focal_px, rtol=1e-12)
    np.testing.assert_allclose(one.centre_px, told.centre_px, rtol=1e-12)


def test_a_camera_of_a_wrong_name_is_answered_with_those_there_are(tmp_path):
    made, _ = stage(tmp_path / "a.usda")
    UsdGeom.Camera.Define(made, "/rig/shot")
    made.GetRootLayer().Save()
    with pytest.raises(UserError, match=r"no camera 'b'.*/cam, /rig/shot"):
        cameras.read(tmp_path / "a.usda", Given(camera="b"))
