"""Lenses that EXIF names, against the polynomials of lensfun's own documentation and its database's numbers."""

from __future__ import annotations

import lensfunpy
import numpy as np
import pytest
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from ganvas.data.shots import read_footage
from ganvas.errors import UserError
from ganvas.io.cameras import lensfun
from ganvas.io.cameras.cameras import Given

TOLD = {
    "Make": "Canon", "Model": "Canon EOS 5D Mark III", "Exif:LensModel": "Canon EF 24-70mm f/2.8L II USM",
    "Exif:FocalLength": 35.0, "FNumber": 4.0,
}  # fmt: skip
SIZE, FOCAL = (3000, 2000), 3000 * 35 / 36


def test_a_profile_is_the_polynomial_that_the_database_has():
    lens, name = lensfun.profile(TOLD, SIZE, FOCAL)
    database = lensfunpy.Database()
    camera = database.find_cameras("Canon", "Canon EOS 5D Mark III")[0]
    known = database.find_lenses(camera, "", "Canon EF 24-70mm f/2.8L II USM")[0]
    a, b, c = known.interpolate_distortion(35.0).terms
    assert "24-70" in name and known.interpolate_distortion(35.0).model.name == "PTLENS"
    # lensfun: Rd = Ru (a Ru^3 + b Ru^2 + c Ru + 1 - a - b - c), Ru = 1 at half the shorter side.
    for share in (0.2, 0.5, 1.0, 1.6):
        direction = share * 1000 / FOCAL
        seen, _ = lens.distort(np.array(direction), np.array(0.0))
        wanted = share * (a * share**3 + b * share**2 + c * share + 1 - a - b - c)
        assert float(seen) * FOCAL / 1000 == pytest.approx(wanted, abs=1e-3)


def test_a_profile_is_undone(tmp_path):
    lens, _ = lensfun.profile(TOLD, SIZE, FOCAL)
    x, y = np.meshgrid(np.linspace(-0.5, 0.5, 5), np.linspace(-0.3, 0.3, 5))
    np.testing.assert_allclose(lens.undistort(*lens.distort(x, y)), [x, y], atol=1e-7)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"Exif:LensModel": ""}, "does not tell"),
        ({"Exif:FocalLength": 0}, "does not tell"),
        ({"Exif:LensModel": "Nobody's Lens 12mm"}, "no profile of Nobody"),
        ({"Make": "Nobody", "Model": "None"}, "no profile"),
    ],
)
def test_what_is_not_known_is_named(change, told):
    with pytest.raises(UserError, match=told):
        lensfun.profile({**TOLD, **change}, SIZE, FOCAL)


def test_plates_are_undistorted_by_their_exif_where_that_is_asked(tmp_path):
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = TOLD["Make"], TOLD["Model"]
    exif.get_ifd(0x8769).update({0x920A: IFDRational(35, 1), 0xA434: TOLD["Exif:LensModel"]})
    for number in (1001, 1002):
        Image.new("RGB", (96, 64), "gray").save(tmp_path / f"p.{number}.jpg", exif=exif)
    (tmp_path / "cam.chan").write_text("1001 0 0 0 0 0 0 37.8\n1002 1 0 0 0 0 0 37.8\n")
    given = {"rotation_order": "ZXY", "film_back_mm": (36.0, 24.0)}
    plain = read_footage(tmp_path, "", Given(**given))
    assert plain.views[0].camera.lens is None
    footage = read_footage(tmp_path, "", Given(**given, lens_profile="exif"))
    assert footage.views[0].camera.lens.model == "lensfun" and any("24-70" in note for note in footage.notes)
    Image.new("RGB", (96, 64), "gray").save(tmp_path / "p.1002.jpg")
    with pytest.raises(UserError, match=r"p\.1002\.jpg: EXIF does not tell"):
        read_footage(tmp_path, "", Given(**given, lens_profile="exif"))
