"""What a .chan file's lines may hold besides Nuke's."""

import pytest

from ganvas.errors import UserError
from ganvas.io.cameras import cameras
from ganvas.io.cameras.cameras import Given

GIVEN = Given(rotation_order="ZXY", film_back_mm=(36.0, 24.0))


def read(folder, text):
    (folder / "a.chan").write_bytes(text)
    return cameras.read(folder / "a.chan", GIVEN)


@pytest.mark.parametrize(
    "text",
    [b"\xef\xbb\xbf7 0 0 5 0 0 0 40\r\n", b"# frame tx ty tz rx ry rz vfov\n7 0 0 5 0 0 0 40\n", b"7,0,0,5,0,0,0,40\n",
     b"7.0\t0\t0\t5\t0\t0\t0\t40\n\n"],
)  # fmt: skip
def test_lines_of_other_programs_that_say_the_same(text, tmp_path):
    (one,) = read(tmp_path, text).cameras
    assert one.frame == 7 and one.matrix[2, 3] == 5 and one.focal_mm == pytest.approx(32.97, abs=0.01)


def test_a_view_in_radians_is_hinted_at(tmp_path):
    assert any("radians" in note for note in read(tmp_path, b"1 0 0 0 0 0 0 0.7\n").notes)
    assert not any("radians" in note for note in read(tmp_path, b"1 0 0 0 0 0 0 7\n").notes)


def test_what_no_frame_could_be_is_none(tmp_path):
    with pytest.raises(UserError, match="no frame"):
        read(tmp_path, b"1e300 0 0 0 0 0 0 40\n")


@pytest.mark.parametrize(
    ("given", "wanted", "known"),
    [
        (Given(), ["--rotation-order ZXY", "--film-back 36x24"], []),
        (Given(rotation_order="XYZ"), ["--film-back 36x24"], ["--rotation-order"]),
        (Given(film_back_mm=(36, 24)), ["--rotation-order ZXY"], ["--film-back"]),
    ],
)
def test_all_that_a_file_does_not_say_is_asked_for_at_once(given, wanted, known, tmp_path):
    (tmp_path / "a.chan").write_text("1 0 0 0 0 0 0 40\n")
    with pytest.raises(UserError) as caught:
        cameras.read(tmp_path / "a.chan", given)
    assert all(option in caught.value.do for option in wanted)
    assert not any(option in caught.value.do for option in known)
