"""Lens distortion: where a real lens puts what a pinhole would see, in directions x/z and y/z with Y down.

One form holds the common models: Brown's (OpenCV's with its rational part, Metashape's, COLMAP's SIMPLE_RADIAL to
FULL_OPENCV), fisheyes whose angle is a polynomial (OpenCV's, COLMAP's, Aria's), and COLMAP's field-of-view, division
and enhanced unified models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np


@dataclass(frozen=True)
class Lens:
    """A lens model with its coefficients."""

    model: Literal["brown", "fisheye", "aria", "fov", "division", "eucm", "lensfun"] = "brown"
    radial: tuple[float, ...] = ()
    """Of r^2, r^4 ... (of the angle's powers for a fisheye; the one omega for `fov`; alpha and beta for `eucm`;
    of 1, r, r^2 ... for `lensfun`)."""
    divisor: tuple[float, ...] = ()
    """Of r^2, r^4 ... in the denominator (OpenCV's k4 to k6)."""
    tangential: tuple[float, float] = (0.0, 0.0)
    """OpenCV's p1 and p2."""
    prism: tuple[float, ...] = (0.0, 0.0)
    """Thin prism: of r^2 in x and in y; for `aria` of r^2 and r^4 in x, then in y."""
    affine: tuple[float, float] = (0.0, 0.0)
    """Metashape's b1 and b2 as shares of the focal length: what x and y add to x."""

    @staticmethod
    def of(told: Mapping[str, Any]) -> Lens:
        """Return a lens of its plain values."""
        values: dict[str, Any] = {key: tuple(map(float, told[key])) for key in told if key != "model"}
        return Lens(model=told["model"], **values)

    @property
    def is_plain(self) -> bool:
        """Whether it distorts nothing that could be seen."""
        numbers = (*self.radial, *self.divisor, *self.tangential, *self.prism, *self.affine)
        return self.model == "brown" and not any(abs(value) > 1e-6 for value in numbers)

    def distort(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return where a direction (x, y, 1) is seen; not a number where the model does not reach."""
        if self.model in ("division", "eucm", "lensfun"):
            return self._shrunk(x, y)
        if self.model != "brown":
            x, y = self._bent(x, y)
        square = angle = x * x + y * y
        radial = () if self.model == "fov" else self.radial
        scale = (1.0 + _polynomial(square, radial)) / (1.0 + _polynomial(square, self.divisor))
        across, down = (self.prism[0],), (self.prism[1],)
        if self.model == "aria":  # what follows is of the bent direction there
            x, y, scale = x * scale, y * scale, 1.0
            square, across, down = x * x + y * y, self.prism[:2], self.prism[2:]
        p1, p2 = self.tangential
        seen_x = x * scale + 2 * p1 * x * y + p2 * (square + 2 * x * x) + _polynomial(square, across)
        seen_y = y * scale + p1 * (square + 2 * y * y) + 2 * p2 * x * y + _polynomial(square, down)
        if self.affine != (0.0, 0.0):
            seen_x = seen_x + self.affine[0] * seen_x + self.affine[1] * seen_y
        # Past the radius at which the polynomial turns back, two directions would share a place.
        beyond = angle > self._reach() ** 2
        return np.where(beyond, np.nan, seen_x), np.where(beyond, np.nan, seen_y)

    def _shrunk(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return directions of the models that only make them smaller or larger."""
        square = x * x + y * y
        with np.errstate(invalid="ignore"):
            if self.model == "lensfun":
                scale = np.polynomial.polynomial.polyval(np.sqrt(square), self.radial)
            elif self.model == "division":  # its formula goes the other way: 1 = r_seen (1 + k r_seen^2)^-1 / r
                scale = 2 / (1 + np.sqrt(1 - 4 * self.radial[0] * square))
            else:
                alpha, beta = self.radial
                scale = 1 / (alpha * np.sqrt(beta * square + 1) + 1 - alpha)
        return x * scale, y * scale

    def _bent(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        radius = np.maximum(np.hypot(x, y), 1e-12)
        if self.model == "fov":
            omega = self.radial[0]
            seen = np.arctan(2 * radius * np.tan(omega / 2)) / omega
        else:
            seen = np.arctan(radius)
        return x * seen / radius, y * seen / radius

    def _reach(self) -> float:
        if self.model == "fov" or not self.radial:
            return np.inf
        radius = np.linspace(0, 4, 2001)
        square = radius * radius
        seen = radius * (1.0 + _polynomial(square, self.radial)) / (1.0 + _polynomial(square, self.divisor))
        back = np.flatnonzero(np.diff(seen) <= 0)
        return float(radius[back[0]]) if len(back) else np.inf

    def undistort(self, x: np.ndarray, y: np.ndarray, rounds: int = 50) -> tuple[np.ndarray, np.ndarray]:
        """Return the direction that is seen at a place, by Newton's method; not a number where there is none."""
        wanted = np.stack([np.asarray(x, float), np.asarray(y, float)])
        if self.model in ("fisheye", "aria"):
            # Near a right angle the tangent runs away: the angle itself is looked for first.
            radius = np.maximum(np.hypot(*wanted), 1e-12)
            angle = np.minimum(radius, 1.5)
            for _ in range(rounds):
                square = angle * angle
                value = angle * (1 + _polynomial(square, self.radial)) - radius
                slope = 1 + _polynomial(square, [(2 * n + 3) * k for n, k in enumerate(self.radial)])
                angle = np.clip(angle - value / np.where(np.abs(slope) < 1e-9, 1e-9, slope), 0, 1.55)
            guess = wanted * np.tan(angle) / radius
        else:
            guess = wanted.copy()
        small = 1e-6
        for _ in range(rounds):
            with np.errstate(all="ignore"):
                here = np.stack(self.distort(*guess))
                right, down = (
                    np.stack(self.distort(guess[0] + dx, guess[1] + dy)) for dx, dy in ((small, 0), (0, small))
                )
                a, c = (right - here) / small
                b, d = (down - here) / small
                determinant = a * d - b * c
                error = here - wanted
                step = np.stack([d * error[0] - b * error[1], a * error[1] - c * error[0]]) / determinant
            step = np.where(np.isfinite(step), step, 0.0)
            guess = guess - step * np.minimum(1.0, 0.5 / np.maximum(np.hypot(*step), 1e-12))
        with np.errstate(all="ignore"):
            off = np.hypot(*(np.stack(self.distort(*guess)) - wanted))
        found = np.where(off < 1e-6, guess, np.nan)
        return found[0], found[1]


def _polynomial(square: np.ndarray, coefficients: Sequence[float]) -> np.ndarray:
    total = np.zeros_like(square)
    for coefficient in reversed(coefficients):
        total = (total + coefficient) * square
    return total
