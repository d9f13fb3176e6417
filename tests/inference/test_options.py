from dataclasses import dataclass
from pathlib import Path

import pytest

from ganvas.errors import UserError
from ganvas.inference.options import CommonOptions, changed, narrow


@dataclass(frozen=True, kw_only=True)
class Wide(CommonOptions):
    quality: int = 95
    names: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Narrow:
    out: Path
    device: str = "cpu"


def test_only_what_differs_from_its_default_is_an_option():
    assert changed(Wide(out=Path("x"))) == {}
    assert changed(Wide(out=Path("x"), quality=5, names=("a",))) == {"quality": 5, "names": ("a",)}


def test_the_part_that_work_declares_is_handed_on():
    assert narrow(Wide(out=Path("x"), device="cuda"), Narrow, "m", "why") == Narrow(out=Path("x"), device="cuda")


def test_what_work_does_not_declare_is_refused_by_name():
    with pytest.raises(UserError, match="--overwrite, --quality means nothing for m"):
        narrow(Wide(out=Path("x"), overwrite=True, quality=5), Narrow, "m", "It has none")
