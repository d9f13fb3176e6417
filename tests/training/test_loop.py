"""What the loop does between steps, what it refuses, and what it does when something is broken."""

from __future__ import annotations

import re
import resource
import shutil
from dataclasses import replace

import pytest
import torch
from tiny_runs import STEPS, assert_same_bits, last, plan, resume, train

from ganvas.errors import UserError
from ganvas.io import runs
from ganvas.training import loop
from tiny_recipe import Tiny


@pytest.fixture
def whole(tmp_path):
    return train(tmp_path / "whole")


def stopped_run(tmp_path, monkeypatch, step=5, **changes):
    """Train a tiny run and stop it after a step."""
    done = []
    with monkeypatch.context() as patch:
        patch.setattr(loop.parallel, "any_rank", lambda flag: done.append(flag) or len(done) == step)
        with pytest.raises(loop.Stopped):
            train(tmp_path / "run", **changes)
    return tmp_path / "run"


# The same run, always


def test_two_runs_are_equal_bit_for_bit_and_another_seed_is_not(whole, tmp_path):
    assert_same_bits(whole, train(tmp_path / "again"))
    other = last(train(tmp_path / "other", seed=1))
    assert any(not value.equal(other.groups["networks"][key]) for key, value in last(whole).groups["networks"].items())


@pytest.mark.parametrize(
    "changes",
    [
        {"preview_every": 1},
        {"log_every": 3, "checkpoint_every": 1, "keep_last": 1},
        {"workers": 2},
        {"tensorboard": True},
    ],
)
def test_runtime_settings_change_no_bit(whole, tmp_path, changes):
    assert_same_bits(whole, train(tmp_path / "other", **changes))


def test_previews_and_scores_change_no_bit_without_an_average_either(tmp_path):
    # Then the network itself is shown, whose batch norm must not move by that.
    changes = {"average_half_life": 0.0, "score_every": 1, "val": True}
    often, seldom = (train(tmp_path / str(n), preview_every=n, **changes) for n in (1, 100))
    assert_same_bits(often, seldom)


def test_previews_and_scores_see_networks_at_rest_with_the_same_inputs_each_time(tmp_path, monkeypatch):
    seen = []

    def sample(self, nets, batch, context):
        seen.append((nets.generator.training, nets.discriminator.training, batch.high.clone(), batch.low.clone()))
        return batch.high

    monkeypatch.setattr(Tiny, "sample", sample)
    train(tmp_path / "run", preview_every=2)
    assert len(seen) == 4 and not any(training for entry in seen for training in entry[:2])
    assert all(entry[2].equal(seen[0][2]) and entry[3].equal(seen[0][3]) for entry in seen)


# What stands in a run's folder


def test_a_run_holds_its_log_previews_plot_and_checkpoints(tmp_path):
    run = train(tmp_path / "run", val=True, score_every=3, keep_last=2)
    log = list(runs.read_log(run))
    assert [entry["step"] for entry in log if "losses" in entry] == list(range(1, STEPS + 1))
    gan = next(entry for entry in log if entry["step"] == 5 and "losses" in entry)
    assert {"D.gan", "G.gan", "G.pixel", "fake_spread", "gradient of generator"} <= gan["losses"].keys()
    assert gan["rates"] == {"generator": 0.01, "discriminator": 0.01} and gan["images"] == 20
    assert [entry["step"] for entry in log if "scores" in entry] == [3, 6, 8]
    assert (run / "latest.png").is_file() and (run / "losses.svg").read_text().startswith("<svg")
    assert (run / "checkpoints" / "latest").read_text() == "00000008"
    kept = {path.name for path in runs.checkpoints(run)}
    assert {"00000006", "00000008", runs.best_name(run)} <= kept
    assert len(kept) <= 4


def test_a_run_that_is_stopped_before_its_first_preview_has_one(tmp_path, monkeypatch):
    run = stopped_run(tmp_path, monkeypatch, preview_every=100)
    assert (run / "latest.png").is_file() and last(run).step == 5
    assert not (stopped_run(tmp_path / "none", monkeypatch, preview_every=0) / "latest.png").exists()


def test_the_best_checkpoint_is_kept_and_is_the_one_with_the_highest_score(tmp_path, monkeypatch):
    values = {2: 1.0, 4: 5.0, 6: 2.0, 8: 4.0}
    monkeypatch.setattr(Tiny, "score", lambda self, nets, source, context: {"quality": values[context.step]})
    run = train(tmp_path / "run", val=True, score_every=2, first_steps=4, second_steps=4, keep_last=1, sentinel="off")
    assert runs.best_name(run) == "00000004" and runs.best_scores(run) == {"quality": 5.0}
    assert "00000004" in {path.name for path in runs.checkpoints(run)}


def test_a_score_that_a_kill_left_unmarked_is_marked_on_resumption(tmp_path, monkeypatch):
    class Killed(Exception):
        pass

    def reached(point, path):
        if point == "between rename and latest" and path.name == "00000006":
            raise Killed

    changes = {"val": True, "score_every": 2}
    monkeypatch.setattr(Tiny, "score", lambda self, nets, source, context: {"quality": -abs(context.step - 6)})
    monkeypatch.setattr(runs, "reached", reached)
    with pytest.raises(Killed):
        train(tmp_path / "run", **changes)
    assert runs.best_name(tmp_path / "run") != "00000006"
    monkeypatch.setattr(runs, "reached", lambda point, path: None)
    resume(tmp_path / "run", **changes)
    assert runs.best_name(tmp_path / "run") == "00000006"


def test_the_size_of_the_ring_is_said_at_the_start(tmp_path, capsys):
    run = loop.train(plan(keep_last=2, log_every=100), tmp_path / "run")
    said = capsys.readouterr().out
    told = re.search(r"A checkpoint takes (\S+) MB; at most 4 are kept in .*run \((\S+) MB\)", said.replace("\n", " "))
    size = runs.size_on_disk(runs.checkpoints(run)[-1]) / 2**20
    # The rest is headers and plain state.
    assert 0.3 * size < float(told[1]) < size and float(told[2]) == pytest.approx(4 * float(told[1]), rel=0.01)


# Resumption


def test_a_changed_result_setting_is_named_and_refused_unless_allowed(tmp_path, monkeypatch):
    run = stopped_run(tmp_path, monkeypatch)
    with pytest.raises(UserError, match=r"rate was 0\.01, is 0\.02; repeats was 1, is 2"):
        resume(run, rate=0.02, repeats=2)
    assert last(run).step == 5
    before = runs.read_json(run / runs.SETTINGS)
    resume(run, rate=0.02, allow_changes=True)
    assert last(run).step == STEPS
    # What generates from the run, and the next to resume it, go by what it became; what it was is not lost.
    assert runs.read_json(run / runs.SETTINGS)["settings"]["rate"] == 0.02
    assert runs.read_json(run / "settings-until-00000005.json") == before


def test_a_changed_runtime_setting_is_allowed_and_changes_no_bit(whole, tmp_path, monkeypatch):
    run = stopped_run(tmp_path, monkeypatch)
    resume(run, log_every=2, workers=1, preview_every=1, checkpoint_every=3)
    assert_same_bits(whole, run)


def test_other_data_is_refused(tmp_path, monkeypatch):
    run = stopped_run(tmp_path, monkeypatch)
    fewer = plan()
    with pytest.raises(UserError, match="samples in the data was 12, is 10"):
        loop.resume(replace(fewer, train=fewer.train.subset(range(10))), run, quiet=True)


def test_another_thread_count_is_named(tmp_path, monkeypatch, capsys):
    run = stopped_run(tmp_path, monkeypatch)
    torch.set_num_threads(2)
    loop.resume(plan(), run)
    assert "Not bit-equal to an uninterrupted run: threads was 1, is 2." in capsys.readouterr().out


@pytest.mark.parametrize("damage", ["flip", "truncate", "delete", "state"])
def test_a_damaged_checkpoint_is_passed_over_with_a_message(whole, tmp_path, monkeypatch, capsys, damage):
    run = stopped_run(tmp_path, monkeypatch, step=6)
    newest = runs.checkpoints(run)[-1]
    file = newest / ("state.json" if damage == "state" else "networks.safetensors")
    content = bytearray(file.read_bytes())
    if damage == "delete":
        file.unlink()
    elif damage == "truncate":
        file.write_bytes(content[: len(content) // 2])
    elif damage == "state":
        file.write_text(file.read_text().replace('"position": 24', '"position": 20'))
    else:
        content[-9] ^= 1
        file.write_bytes(content)
    loop.resume(plan(), run)
    said = capsys.readouterr().out.replace("\n", " ")
    assert newest.name in said and "Resuming at step 4 of 8" in said
    assert "Set aside as 00000006.damaged" in said
    assert_same_bits(whole, run)


def test_a_run_without_a_whole_checkpoint_is_not_begun_anew_silently(tmp_path, monkeypatch):
    run = stopped_run(tmp_path, monkeypatch, step=1)
    for folder in runs.checkpoints(run):
        (folder / "state.json").unlink()
    with pytest.raises(UserError, match="no whole checkpoint"):
        resume(run)


@pytest.mark.parametrize("point", ["before the first write", "half a tensor file", "before the rename"])
def test_a_run_killed_before_its_first_checkpoint_begins_again(whole, tmp_path, monkeypatch, point):
    class Killed(Exception):
        pass

    def reached(here, path):
        if here == point or point == "before the first write":
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(runs, "reached", reached)
        if point == "before the first write":
            patch.setattr(loop, "_play", lambda *arguments: reached("", None))
        with pytest.raises(Killed):
            train(tmp_path / "run")
    assert not runs.checkpoints(tmp_path / "run")
    resume(tmp_path / "run")
    assert_same_bits(whole, tmp_path / "run")


def test_weights_to_start_from_are_in_the_run_from_the_beginning(tmp_path, monkeypatch):
    given = {"0.weight": torch.full((12, 3, 3, 3), 0.05), "0.bias": torch.zeros(12)}
    started = replace(plan(), init={"generator": given}, init_from=("given.safetensors",))
    whole = loop.train(started, tmp_path / "whole", quiet=True)
    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(loop.step, "advance", lambda trainer: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            loop.train(started, run, quiet=True)
    # Gone on with without the file.
    loop.resume(replace(plan(), init_from=("given.safetensors",)), run, quiet=True)
    assert_same_bits(whole, run)
    assert (
        not last(run)
        .groups["networks"]["generator/0.weight"]
        .equal(last(train(tmp_path / "x")).groups["networks"]["generator/0.weight"])
    )
    for folder in runs.checkpoints(run):
        shutil.rmtree(folder)
    with pytest.raises(UserError, match="interrupted before its first checkpoint"):
        loop.resume(replace(plan(), init_from=("given.safetensors",)), run, quiet=True)


# Obstacles


def test_a_folder_that_holds_something_is_left_alone(whole, tmp_path):
    with pytest.raises(UserError, match=f"--resume {re.escape(str(whole))}"):
        train(whole)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(b"cat")
    with pytest.raises(UserError, match="not empty and is no run"):
        train(tmp_path / "photos")
    with pytest.raises(UserError, match="is a file"):
        train(tmp_path / "photos" / "cat.jpg")
    with pytest.raises(UserError, match="Cannot write"):
        train(tmp_path / "photos" / "cat.jpg" / "run")
    assert [path.name for path in (tmp_path / "photos").iterdir()] == ["cat.jpg"]


def test_a_full_disk_ends_the_run_clearly_and_it_goes_on_when_there_is_room(whole, tmp_path, monkeypatch):
    """The kernel refuses files above a limit, as it would on a full disk."""
    run, before = tmp_path / "run", resource.getrlimit(resource.RLIMIT_FSIZE)
    original = Tiny.generator_losses

    def losses(self, nets, batch, outputs, carry, context):
        if context.step == 5:
            resource.setrlimit(resource.RLIMIT_FSIZE, (3000, before[1]))
        return original(self, nets, batch, outputs, carry, context)

    with monkeypatch.context() as patch:
        patch.setattr(Tiny, "generator_losses", losses)
        try:
            with pytest.raises(UserError, match=r"Cannot write .*safetensors\. File too large"):
                train(run, preview_every=100)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert last(run).step == 4
    assert not list((run / "checkpoints").glob(".*"))
    resume(run, preview_every=100)
    assert_same_bits(whole, run)


def test_out_of_memory_names_step_and_batch(tmp_path, monkeypatch):
    def losses(self, nets, batch, outputs, carry, context):
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(Tiny, "generator_losses", losses)
    with pytest.raises(loop.OutOfMemory, match="Out of memory at step 0 with a batch of 4"):
        train(tmp_path / "run")
