"""Fetch the photographs that the bundled weights are trained on, and make the training folders from them.

    python scripts/photographs.py [FOLDER]        (default: .photos)

They come from two Debian packages whose copyright files state the licence of each picture (CC BY 4.0, CC BY-SA 3.0 and
4.0, CC0), so the weights trained on them are published under CC BY-SA 4.0. `apt-get` and `dpkg-deb` are needed; on
another system unpack the packages by hand into FOLDER/unpacked. Every picture is reduced to a quarter of its sides,
which removes the softness of lenses and what JPEG left, and written as PNG into FOLDER/train. `--more` adds a third
package, for experiments only (its statements on licences contradict each other): FOLDER/twenty then holds 20.
"""

from __future__ import annotations

import argparse
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
MORE_PACKAGES = ("plasma-workspace-wallpapers",)
MORE = ("EveningGlow", "FallenLeaf", "OneStandsOut", "Path", "Grey", "ColorfulCups")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=Path(".photos"))
    parser.add_argument("--more", action="store_true", help="also make FOLDER/twenty, for experiments")
    options = parser.parse_args()
    unpacked = options.folder / "unpacked"
    fetch(PACKAGES + (MORE_PACKAGES if options.more else ()), unpacked)
    photographs = {name: unpacked / "usr/share/backgrounds" / name for name in PHOTOGRAPHS}
    reduce(list(photographs.values()), options.folder / "train")
    if options.more:
        wallpapers = unpacked / "usr/share/wallpapers"
        extra = [wallpapers / name / "contents/images/2560x1600.jpg" for name in MORE]
        reduce([*photographs.values(), *extra], options.folder / "twenty")


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


def reduce(files: list[Path], folder: Path) -> None:
    """Write each picture at a share of its sides into a folder, as 8-bit PNG."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        name = file.parents[2].name if file.stem[0].isdigit() else file.stem
        target = folder / f"{name}.png"
        if target.exists():
            continue
        picture, _ = images.read(file)
        tensor = torch.from_numpy(images.to_float(picture)).permute(2, 0, 1)[None, :3]
        small = resize_bicubic(tensor, SHARE).clamp(0, 1)[0].permute(1, 2, 0).numpy()
        images.write(target, images.from_float(small, "uint8"))
        print(target, f"{small.shape[1]} x {small.shape[0]}")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(str(error))
