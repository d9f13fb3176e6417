"""One doctor for `inspect`, `train` and `generate`: errors refuse, the worst comes first, broken files are counted."""

from __future__ import annotations

import pytest

from ganvas.data import doctor
from ganvas.data.doctor import Examination, Finding
from ganvas.errors import UserError


def test_the_worst_comes_first_and_only_errors_refuse():
    found = Examination({}, [Finding("note", "c"), Finding("error", "a", "mend a"), Finding("warning", "b")])
    assert found.lines() == ["error: a.\n    mend a", "warning: b.", "note: c."]
    with pytest.raises(UserError, match=r"^DIR cannot be used as it is\. a\. mend a\.$"):
        found.require_healthy("DIR")
    Examination({}, found.findings[::2]).require_healthy("DIR")


def test_errors_beyond_the_first_are_counted():
    with pytest.raises(UserError, match=r"a \(and 1 more errors"):
        Examination({}, [Finding("error", "a"), Finding("error", "b")]).require_healthy("DIR")


def test_a_source_is_asked_for_its_own_doctor():
    class Ill:
        def examine(self):
            return Examination({}, [Finding("error", "a")])

    assert not doctor.examine(Ill()).is_healthy and doctor.examine(object()).is_healthy


def test_broken_files_are_counted_and_the_first_ten_named():
    (finding,) = doctor.broken({f"{n}.png": "cut off" for n in range(12)})
    assert finding.what.startswith("12 pictures cannot be used") and "9.png (cut off); and 2 more" in finding.what
    assert "10.png" not in finding.what and doctor.broken({}) == []
