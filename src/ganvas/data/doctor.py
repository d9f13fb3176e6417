"""What every doctor of data says, and how `inspect`, `train` and `generate` ask it: one finding, one examination.

A source of samples that can be ill has a method `examine() -> Examination`. `inspect` prints what it says; `train` and
`generate` print its warnings, and refuse to begin where something is wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ganvas.errors import UserError

_ORDER = ("error", "warning", "note")
_MOST = 10


@dataclass(frozen=True)
class Finding:
    """Something that is wrong (`error`), probably wrong (`warning`), or good to know (`note`), and what mends it."""

    kind: Literal["error", "warning", "note"]
    what: str
    mend: str = ""

    @property
    def text(self) -> str:
        """The finding as lines of text."""
        return f"{self.kind}: {self.what}." + (f"\n    {self.mend}" if self.mend else "")


@dataclass
class Examination:
    """Facts about a data set by name, and what was found."""

    facts: dict[str, Any] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    @property
    def is_healthy(self) -> bool:
        """Whether nothing is wrong."""
        return not any(finding.kind == "error" for finding in self.findings)

    def sort(self) -> None:
        """Put the worst first."""
        self.findings.sort(key=lambda finding: _ORDER.index(finding.kind))

    def lines(self) -> list[str]:
        """Return the findings as text, the worst first."""
        return [finding.text for finding in sorted(self.findings, key=lambda finding: _ORDER.index(finding.kind))]

    def require_healthy(self, what: str) -> None:
        """Refuse data that something is wrong with.

        Raises:
            UserError: there is a finding of kind `error`; the first is told, the others are counted.
        """
        errors = [finding for finding in self.findings if finding.kind == "error"]
        if errors:
            more = f" (and {len(errors) - 1} more errors: `ganvas inspect` lists them)" if len(errors) > 1 else ""
            raise UserError(f"{what} cannot be used as it is", f"{errors[0].what}{more}", errors[0].mend)


def examine(source: Any) -> Examination:
    """Return what the doctor of a source says; a source without one is in order."""
    own = getattr(source, "examine", None)
    return own() if own is not None else Examination()


FEW = 200
"""Pictures below which a discriminator rather learns them by heart than what they have in common."""


def few(source: Any, has_val: bool) -> list[Finding]:
    """Return a warning where a source has few pictures, and a hint where nothing is held out."""
    clips = getattr(source, "clips", None)
    count = sum(map(len, clips)) if clips else len(set(source.groups()))
    if count >= FEW:
        return []
    hint = "" if has_val else "; hold some out (--val 0.1), so that learning by heart is seen"
    mend = f"Add pictures, or stop early and look at the previews{hint}"
    return [Finding("warning", f"{count} pictures are few for a GAN, which may learn them by heart", mend)]


def unreadable(faults: Mapping[Path, str]) -> list[Finding]:
    """Return an error for files that cannot be left out, because their place in a sequence counts."""
    if not faults:
        return []
    more = [f"and {len(faults) - _MOST} more"] if len(faults) > _MOST else []
    what = f"{len(faults)} frames cannot be read: {'; '.join([*list(faults.values())[:_MOST], *more])}"
    return [Finding("error", what.rstrip("."), "Restore the files, or cut the sequence there")]


def broken(skipped: dict[str, str], kind: str = "pictures") -> list[Finding]:
    """Return a finding for files that cannot be used and are left out: counted, and the first ten named."""
    if not skipped:
        return []
    named = [f"{name} ({why})" for name, why in list(skipped.items())[:_MOST]]
    more = [f"and {len(skipped) - _MOST} more"] if len(skipped) > _MOST else []
    what = f"{len(skipped)} {kind} cannot be used and are left out: {'; '.join([*named, *more])}"
    return [Finding("warning", what, "Replace or remove them")]
