"""Fetch the photographs that the bundled weights are trained on, and make the training folders from them.

    python scripts/photographs.py [FOLDER]        (default: .photos)

They come from Debian packages whose copyright files state the licence of the pictures, so that weights trained on them
can be published under CC BY-SA 4.0:

| package | photographs | licence | written at |
|---|---|---|---|
| lomiri-wallpapers-16.04, -20.04 | 14, listed below | CC BY 4.0, CC BY-SA 3.0 and 4.0, CC0, by picture | 1/4 |
| endless-sky-high-dpi | 273, images/land | public domain, CC BY-SA 3.0 and 4.0, by name | 1/2 |
| krank | 41, unera-backgrounds | public domain | 1/2 |

Reduced sides remove the softness of lenses and what JPEG left. FOLDER/train holds the first two packages' (what the
compact weights were trained on), FOLDER/photographs all but those held out, FOLDER/held-out the others, on which tables
are measured. `apt-get` and `dpkg-deb` are needed; on another system unpack the packages by hand into FOLDER/unpacked.
The contents are checked by SHA-256. `--more` adds one more package, for experiments only (its statements on licences
contradict each other): FOLDER/twenty then holds 20.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import torch

from ganvas.data.degrade import resize_bicubic
from ganvas.errors import UserError
from ganvas.io.pictures import images

PACKAGES = ("lomiri-wallpapers-16.04", "lomiri-wallpapers-20.04")
PHOTOGRAPHS = {
    "Bridge_by_Sander_Klootwijk.jpg": "CC-BY-SA-4.0",
    "Dragonfly_by_Bolly.jpg": "CC-BY-SA-4.0",
    "Kleiber_by_Lukas_Baubkus.jpg": "CC-BY-SA-3.0",
    "Picture_0B_by_freespace.jpg": "CC-BY-4.0",
    "Picture_1A_by_freespace.jpg": "CC-BY-4.0",
    "Wine_by_Jakkub_Mede.jpg": "CC-BY-4.0",
    "aitzgorri_by_Aitzol_Berasategi.jpg": "CC-BY-4.0",
    "free_by_Peter_Nerlich.jpg": "CC-BY-SA-4.0",
    "friends_by_Aitzol_Berasategi.jpg": "CC-BY-4.0",
    "greentock_by_Peter_Nerlich.jpg": "CC-BY-SA-4.0",
    "life_by_Aitzol_Berasategi.jpg": "CC-BY-4.0",
    "picosdeeuropa_by_Aitzol_Berasategi.jpg": "CC-BY-4.0",
    "seeding_by_Clements_Engelhardt.jpg": "CC0-1.0",
    "sunset_by_Aitzol_Berasategi.jpg": "CC-BY-4.0",
}
"""The photographs among the packages' pictures (the others are drawn), with the licence that each has there."""
SHARE = 0.25
SCENERY = {
    "endless-sky-high-dpi": "usr/share/games/endless-sky/plugins/endless-sky-high-dpi/images/land",
    "krank": "usr/share/games/krank/levels/unera-backgrounds",
}
"""Packages of many photographs, and the folder that holds them."""
CONTENTS = {
    "endless-sky-high-dpi": "31c4ec87413e24dc0567c9af3046fa50fdc44ba8a0163baf738be5f42daf9151",
    "krank": "04bad52a3fcc796b2b262008bda54f1f9a15274659fac17207a1c046bd7f9087",
}
"""SHA-256 over the names and SHA-256 of the pictures of that folder, in the order of their names."""
SCENERY_SHARE = 0.5
HELD_OUT = (
    *(f"bwerner{number}" for number in range(9)), "nasa3", "station1", "city11",
    *(f"level-{number}" for number in ("08", "09", "14", "20")),
)  # fmt: skip
"""Photographs that no weights may be trained on; all tables are measured on them."""
MORE_PACKAGES = ("plasma-workspace-wallpapers",)
MORE = ("EveningGlow", "FallenLeaf", "OneStandsOut", "Path", "Grey", "ColorfulCups")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=Path(".photos"))
    parser.add_argument("--more", action="store_true", help="also make FOLDER/twenty, for experiments")
    options = parser.parse_args()
    unpacked = options.folder / "unpacked"
    fetch((*PACKAGES, *SCENERY, *(MORE_PACKAGES if options.more else ())), unpacked)
    photographs = [unpacked / "usr/share/backgrounds" / name for name in PHOTOGRAPHS]
    reduce(photographs, options.folder / "train")
    reduce(photographs, options.folder / "photographs")
    for package, folder in SCENERY.items():
        files = sorted((unpacked / folder).glob("*.jpg"))
        verify(package, files)
        training, held_out = divide(files)
        reduce(training, options.folder / "photographs", SCENERY_SHARE)
        reduce(held_out, options.folder / "held-out", SCENERY_SHARE)
    if options.more:
        wallpapers = unpacked / "usr/share/wallpapers"
        extra = [wallpapers / name / "contents/images/2560x1600.jpg" for name in MORE]
        reduce([*photographs, *extra], options.folder / "twenty")


def fetch(packages: tuple[str, ...], unpacked: Path) -> None:
    """Download and unpack Debian packages, unless that was done before."""
    unpacked.mkdir(parents=True, exist_ok=True)
    for package in packages:
        done = unpacked / f".{package}"
        if done.exists():
            continue
        if not shutil.which("apt-get"):
            raise UserError(
                "apt-get is missing", do=f"Unpack the Debian package {package} into {unpacked} and create {done}"
            )
        subprocess.run(["apt-get", "download", "-q", package], cwd=unpacked, check=True)
        file = next(unpacked.glob(f"{package}_*.deb"))
        subprocess.run(["dpkg-deb", "-x", file.name, "."], cwd=unpacked, check=True)
        file.unlink()
        done.touch()


def verify(package: str, files: list[Path]) -> None:
    """Check that a package's photographs are those that were looked at.

    Raises:
        UserError: they are others, or some are missing.
    """
    found = digest(files)
    if found != CONTENTS[package]:
        why = f"The SHA-256 of its {len(files)} pictures is {found}, not {CONTENTS[package]}"
        raise UserError(
            f"{package} holds other photographs than those looked at", why, "Look at them, then set it here"
        )


def digest(files: list[Path]) -> str:
    """Return the SHA-256 over the names and the SHA-256 of files, in the order of their names."""
    lines = [f"{file.name} {hashlib.sha256(file.read_bytes()).hexdigest()}\n" for file in sorted(files)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def divide(files: list[Path]) -> tuple[list[Path], list[Path]]:
    """Divide photographs into those that may be trained on and those held out."""
    held_out = [file for file in files if photograph(file) in HELD_OUT]
    return [file for file in files if file not in held_out], held_out


def photograph(file: Path) -> str:
    """Return the name of a photograph; the game's end in `@2x`, and in their author's name after a dash."""
    return file.stem.removesuffix("@2x")


def reduce(files: list[Path], folder: Path, share: float = SHARE) -> None:
    """Write each picture at a share of its sides into a folder, as 8-bit PNG."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        name = file.parents[2].name if file.stem[0].isdigit() else photograph(file)
        target = folder / f"{name}.png"
        if target.exists():
            continue
        picture, _ = images.read(file)
        tensor = torch.from_numpy(images.to_float(picture)).permute(2, 0, 1)[None, :3]
        small = resize_bicubic(tensor, share).clamp(0, 1)[0].permute(1, 2, 0).numpy()
        images.write(target, images.from_float(small, "uint8"))
        print(target, f"{small.shape[1]} x {small.shape[0]}")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(str(error))
