"""How often dlib finds the face-like set's faces at a size, and how far its landmarks are from the exact ones.

python scripts/upres_found.py [--number 40] [--size 128] [--pictures FOLDER] [--landmarks FILE]

With --pictures it is told in how many pictures of a folder, such as generated ones, a face is found.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from ganvas.data.landmarks import Detector
from ganvas.drawn.faces import face
from ganvas.io.pictures import images

FIRST = 5000
"""Faces from this number on: none of them is in a set that was trained on."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--number", type=int, default=40)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--pictures", type=Path)
    parser.add_argument("--landmarks", default="")
    asked = parser.parse_args()
    detector, errors = Detector(asked.landmarks), []
    if asked.pictures:
        paths = images.find_pictures([asked.pictures])[0]
        found = sum(detector(images.read(path)[0][..., :3]) is not None for path in paths)
        print(f"{found} of {len(paths)} found")
        return
    for number in range(asked.number):
        made = face(FIRST + number, asked.size)
        points = detector(images.from_float(made.picture, "uint8"))
        if points is not None and points.shape == made.points.shape:
            errors.append(float(np.hypot(*(points - made.points).T).mean()))
    print(f"{len(errors)} of {asked.number} found, landmarks {np.mean(errors or [0]):.1f} px off on average")


if __name__ == "__main__":
    main()
