import threading

import pytest

from ganvas.errors import UserError
from ganvas.inference.result import Cancelled, CancelToken, Counted, Job, Moved, Progress, Result, Said, run_batch


def jobs(tmp_path, *names):
    return [Job(tmp_path / name, tmp_path / f"{name}.out") for name in names]


def copying(job, progress):
    if "bad" in str(job.source):
        raise UserError("It is bad")
    if "full" in str(job.source):
        raise OSError(28, "No space left on device")
    if "bug" in str(job.source):
        raise ZeroDivisionError("a defect")
    job.target.write_text("done")
    return Result(input=str(job.source), output=str(job.target), width=1000, height=2000, facts={"drift": 0.5})


def test_what_fails_is_reported_and_stops_none_of_the_others(tmp_path):
    events = []
    results = run_batch(jobs(tmp_path, "a", "bad", "full", "bug", "b"), copying, Progress(events.append))
    assert [event for event in events if isinstance(event, Result)] == results
    assert [event.done for event in events if isinstance(event, Counted)] == list(range(5))
    assert [bool(result.error) for result in results] == [False, True, True, True, False]
    assert "It is bad" in results[1].error
    assert "No space left" in results[2].error
    assert "ZeroDivisionError" in results[3].error
    assert (tmp_path / "b.out").read_text() == "done"


def test_a_cancelled_batch_keeps_what_is_done_and_begins_nothing(tmp_path):
    token, begun = CancelToken(), []

    def work(job, progress):
        begun.append(job.source.name)
        if job.source.name == "b":
            token.cancel()
            progress(1, 2)
        return copying(job, progress)

    results = run_batch(jobs(tmp_path, "a", "b", "c"), work, Progress(token=token))
    assert begun == ["a", "b"]
    assert [result.output for result in results] == [str(tmp_path / "a.out")]
    assert not (tmp_path / "b.out").exists()


def test_cancelling_from_another_thread_stops_work_at_its_next_report():
    progress = Progress()
    thread = threading.Thread(target=progress.token.cancel)
    thread.start()
    thread.join()
    with pytest.raises(Cancelled):
        progress.of("tiles")(1, 10)


def test_reports_carry_their_names_and_shares_of_the_whole():
    events = []
    progress = Progress(events.append)
    progress.of("x.png")(3, 8)
    progress.of("clips").share(1, 4)(5, 10)
    progress.say("A sentence.")
    assert events == [Moved("x.png", 3, 8), Moved("clips", 15, 40), Said("A sentence.")]


def test_a_row_holds_plain_values_and_counts_the_pixels_of_all_frames():
    row = Result(input="a", width=1000, height=2000, frames=3, facts={"drift": 0.5}).row()
    assert row["megapixels"] == 6.0
    assert row["drift"] == 0.5
    assert "facts" not in row
