"""Rotations, up axes and units of camera files."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

UPRIGHT: dict[str, np.ndarray] = {
    "y": np.eye(4),
    "z": np.array([[1, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]], float),
    "-y": np.diag([1.0, -1.0, -1.0, 1.0]),
}
"""Turns a world whose up axis has this name into one with Y up."""
FLIP = np.diag([1.0, -1.0, -1.0, 1.0])
"""From the axes of computer vision (Y down, Z ahead) to ours (Y up, -Z ahead)."""


def into_metres(matrix: np.ndarray, metres_per_unit: float, up: str) -> np.ndarray:
    """Return a camera-to-world matrix of another unit and up axis in ours."""
    out = UPRIGHT[up or "y"] @ np.asarray(matrix, float)
    out[:3, 3] *= metres_per_unit
    return out


def out_of_metres(matrix: np.ndarray, metres_per_unit: float, up: str) -> np.ndarray:
    """Return our camera-to-world matrix in another unit and up axis."""
    out = UPRIGHT[up or "y"].T @ matrix
    out[:3, 3] /= metres_per_unit
    return out


def rotation_from_angles(degrees: Sequence[float], order: str) -> np.ndarray:
    """Return the rotation (3, 3) of angles about X, Y and Z, turned about in an order, the first axis first."""
    whole = np.eye(3)
    for axis in order.upper():
        whole = _turn("XYZ".index(axis), np.radians(degrees["XYZ".index(axis)])) @ whole
    return whole


def _turn(axis: int, angle: float) -> np.ndarray:
    turn = np.eye(3)
    a, b = (axis + 1) % 3, (axis + 2) % 3
    turn[a, a] = turn[b, b] = np.cos(angle)
    turn[b, a], turn[a, b] = np.sin(angle), -np.sin(angle)
    return turn


def angles_from_rotation(rotation: np.ndarray, order: str) -> np.ndarray:
    """Return the angles about X, Y and Z in degrees of a rotation (3, 3), turned about in an order."""
    i, j, k = ("XYZ".index(axis) for axis in order.upper())
    sign = 1.0 if (j - i) % 3 == 1 else -1.0
    angles = np.empty(3)
    middle = np.hypot(rotation[i, i], rotation[j, i])
    angles[j] = np.arctan2(-sign * rotation[k, i], middle)
    if middle > 1e-9:
        angles[i] = np.arctan2(sign * rotation[k, j], rotation[k, k])
        angles[k] = np.arctan2(sign * rotation[j, i], rotation[i, i])
    else:  # the outer axes coincide: one angle says it all
        angles[i] = np.arctan2(-sign * rotation[j, k], rotation[j, j])
        angles[k] = 0.0
    return np.degrees(angles)


def quaternion(rotation: np.ndarray) -> np.ndarray:
    """Return the unit quaternion (w, x, y, z) of a rotation (3, 3), with w not negative."""
    r = rotation
    # The eigenvector of the largest eigenvalue: no case of small divisors.
    form = np.array([
        [r[0, 0] + r[1, 1] + r[2, 2], 0, 0, 0],
        [r[2, 1] - r[1, 2], r[0, 0] - r[1, 1] - r[2, 2], 0, 0],
        [r[0, 2] - r[2, 0], r[1, 0] + r[0, 1], r[1, 1] - r[0, 0] - r[2, 2], 0],
        [r[1, 0] - r[0, 1], r[2, 0] + r[0, 2], r[2, 1] + r[1, 2], r[2, 2] - r[0, 0] - r[1, 1]],
    ])  # fmt: skip
    _, vectors = np.linalg.eigh(form)
    found = vectors[:, -1]
    return found if found[0] >= 0 else -found


def rotation_of(q: Sequence[float] | np.ndarray) -> np.ndarray:
    """Return the rotation (3, 3) of a unit quaternion (w, x, y, z)."""
    w, x, y, z = q
    return np.array([
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ])  # fmt: skip
