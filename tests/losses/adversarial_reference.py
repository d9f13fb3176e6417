"""The table of adversarial losses, cell by cell in plain float64 numpy: written out, not composed, so that it is
independent of the one implementation that it tests. r and f are raw scores, batch first.
"""

import itertools

import numpy as np

BASES = ("standard", "least_squares", "hinge", "wasserstein")
PAIRINGS = ("plain", "paired", "average", "centred", "all_pairs")
CELLS = tuple(itertools.product(BASES, PAIRINGS))
COUPLED = ("average", "centred", "all_pairs")


def sp(x):
    return np.logaddexp(0.0, x)


def relu(x):
    return np.maximum(x, 0.0)


def over_pairs(r, f, cost):
    return np.mean([[np.mean(cost(r[i] - f[j])) for j in range(len(f))] for i in range(len(r))])


def centre(r, f):
    return (np.mean(r) + np.mean(f)) / 2


E = np.mean

DISCRIMINATOR = {
    ("standard", "plain"): lambda r, f: E(sp(-r)) + E(sp(f)),
    ("least_squares", "plain"): lambda r, f: E((r - 1) ** 2) + E(f**2),
    ("hinge", "plain"): lambda r, f: E(relu(1 - r)) + E(relu(1 + f)),
    ("wasserstein", "plain"): lambda r, f: E(f) - E(r),
    ("standard", "paired"): lambda r, f: E(sp(-(r - f))),
    ("least_squares", "paired"): lambda r, f: E((r - f - 1) ** 2),
    ("hinge", "paired"): lambda r, f: E(relu(1 - (r - f))),
    ("wasserstein", "paired"): lambda r, f: E(f - r),
    ("standard", "average"): lambda r, f: (E(sp(-(r - E(f)))) + E(sp(f - E(r)))) / 2,
    ("least_squares", "average"): lambda r, f: (E((r - E(f) - 1) ** 2) + E((f - E(r) + 1) ** 2)) / 2,
    ("hinge", "average"): lambda r, f: (E(relu(1 - (r - E(f)))) + E(relu(1 + (f - E(r))))) / 2,
    ("wasserstein", "average"): lambda r, f: (E(-(r - E(f))) + E(f - E(r))) / 2,
    ("standard", "centred"): lambda r, f: (E(sp(-(r - centre(r, f)))) + E(sp(f - centre(r, f)))) / 2,
    ("least_squares", "centred"): lambda r, f: (E((r - centre(r, f) - 1) ** 2) + E((f - centre(r, f) + 1) ** 2)) / 2,
    ("hinge", "centred"): lambda r, f: (E(relu(1 - (r - centre(r, f)))) + E(relu(1 + (f - centre(r, f))))) / 2,
    ("wasserstein", "centred"): lambda r, f: (E(-(r - centre(r, f))) + E(f - centre(r, f))) / 2,
    ("standard", "all_pairs"): lambda r, f: over_pairs(r, f, lambda d: sp(-d)),
    ("least_squares", "all_pairs"): lambda r, f: over_pairs(r, f, lambda d: (d - 1) ** 2),
    ("hinge", "all_pairs"): lambda r, f: over_pairs(r, f, lambda d: relu(1 - d)),
    ("wasserstein", "all_pairs"): lambda r, f: over_pairs(r, f, lambda d: -d),
}

GENERATOR = {
    ("standard", "plain"): lambda r, f: E(sp(-f)),
    ("least_squares", "plain"): lambda r, f: E((f - 1) ** 2),
    ("hinge", "plain"): lambda r, f: -E(f),
    ("wasserstein", "plain"): lambda r, f: -E(f),
    ("standard", "paired"): lambda r, f: E(sp(-(f - r))),
    ("least_squares", "paired"): lambda r, f: E((f - r - 1) ** 2),
    ("hinge", "paired"): lambda r, f: E(relu(1 - (f - r))),
    ("wasserstein", "paired"): lambda r, f: E(r - f),
    ("standard", "average"): lambda r, f: (E(sp(r - E(f))) + E(sp(-(f - E(r))))) / 2,
    ("least_squares", "average"): lambda r, f: (E((r - E(f) + 1) ** 2) + E((f - E(r) - 1) ** 2)) / 2,
    ("hinge", "average"): lambda r, f: (E(relu(1 + (r - E(f)))) + E(relu(1 - (f - E(r))))) / 2,
    ("wasserstein", "average"): lambda r, f: (E(r - E(f)) + E(-(f - E(r)))) / 2,
    ("standard", "centred"): lambda r, f: (E(sp(r - centre(r, f))) + E(sp(-(f - centre(r, f))))) / 2,
    ("least_squares", "centred"): lambda r, f: (E((r - centre(r, f) + 1) ** 2) + E((f - centre(r, f) - 1) ** 2)) / 2,
    ("hinge", "centred"): lambda r, f: (E(relu(1 + (r - centre(r, f)))) + E(relu(1 - (f - centre(r, f))))) / 2,
    ("wasserstein", "centred"): lambda r, f: (E(r - centre(r, f)) + E(-(f - centre(r, f)))) / 2,
    ("standard", "all_pairs"): lambda r, f: over_pairs(r, f, lambda d: sp(d)),
    ("least_squares", "all_pairs"): lambda r, f: over_pairs(r, f, lambda d: (d + 1) ** 2),
    ("hinge", "all_pairs"): lambda r, f: over_pairs(r, f, lambda d: relu(1 + d)),
    ("wasserstein", "all_pairs"): lambda r, f: over_pairs(r, f, lambda d: d),
}
