"""Run folders: what is written is whole or not there, and comes back as it went."""

from __future__ import annotations

import itertools
import re
import resource
from xml.etree import ElementTree

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from ganvas.errors import UserError
from ganvas.io import leftovers, plots, runs
from ganvas.io.weights.tensors import TYPE_NAMES

STATE = {"stage": "only", "position": 12, "rates": (1.0, 0.1 + 0.2), "nothing": None}


@pytest.fixture
def run(tmp_path):
    return runs.create(tmp_path / "run", {"recipe": "tiny"})


def write(run, step, value=1.0):
    runs.write_group(run, step, "networks", {"generator/weight": torch.full((2, 3), value)})
    return runs.finish_checkpoint(run, step, STATE)


def names(run):
    return [path.name for path in runs.checkpoints(run)]


def every_type():
    random = torch.Generator().manual_seed(0)
    tensors = {
        str(kind): torch.randn(3, 5, generator=random).mul(50).to(kind) for kind in TYPE_NAMES if kind != torch.bool
    }
    return {
        **tensors,
        "bool": torch.tensor([True, False, True]),
        "scalar": torch.tensor(0.1, dtype=torch.float64),
        "empty": torch.empty(0, 4),
        "not a number": torch.tensor([float("nan"), -0.0, float("inf")]),
        "channels last": torch.randn(2, 3, 4, 5, generator=random).to(memory_format=torch.channels_last),
        "turned": torch.arange(6.0).view(2, 3).T,
        "a/b.c ü": torch.ones(1, dtype=torch.uint8),
    }


def test_tensors_come_back_bit_for_bit_and_any_reader_of_safetensors_reads_them(run):
    tensors = every_type()
    runs.write_group(run, 7, "networks", tensors)
    folder = runs.finish_checkpoint(run, 7, STATE)
    for found in (runs.read_checkpoint(folder).groups["networks"], load_file(folder / "networks.safetensors")):
        assert found.keys() == tensors.keys()
        for key, value in tensors.items():
            assert found[key].dtype == value.dtype and found[key].shape == value.shape
            assert bits(found[key]) == bits(value), key
    with safe_open(folder / "networks.safetensors", framework="np") as file:
        assert file.get_tensor("turned").tolist() == [[0, 3], [1, 4], [2, 5]]


def bits(tensor):
    return tensor.contiguous().reshape(-1).view(torch.uint8).tolist()


def test_state_comes_back_to_the_last_digit(run):
    saved = runs.read_checkpoint(write(run, 3))
    assert saved.step == 3
    assert {key: saved.state[key] for key in STATE} == {**STATE, "rates": [1.0, 0.1 + 0.2]}


def test_names_sort_by_step(run):
    for step in (100, 9, 20_000_000):
        write(run, step)
    assert [int(name) for name in names(run)] == [9, 100, 20_000_000]
    assert (run / "checkpoints" / "latest").read_text() == "20000000"


def test_an_unfinished_checkpoint_is_none_and_is_cleared_away(run):
    write(run, 1)
    runs.write_group(run, 2, "networks", {"w": torch.ones(1)})
    saved, problems = runs.newest_checkpoint(run)
    assert saved is not None and saved.step == 1 and problems == []
    leftovers.clear(run)
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == ["00000001", "latest"]


def test_a_checkpoint_may_be_written_again(run):
    write(run, 4, value=1.0)
    folder = write(run, 4, value=2.0)
    assert runs.read_checkpoint(folder).groups["networks"]["generator/weight"].unique().tolist() == [2.0]
    assert names(run) == ["00000004"]


@pytest.mark.parametrize("place", ["header", "data", "state", "step"])
def test_every_kind_of_damage_is_seen(run, place):
    whole, folder = write(run, 1), write(run, 2)
    file = folder / ("networks.safetensors" if place in ("header", "data") else runs.STATE)
    content = file.read_bytes()
    if place == "step":
        changed = content.replace(b'"step": 2', b'"step": 3')
    else:
        at = content.index(b"only") if place == "state" else {"header": 20, "data": -3}[place]
        changed = bytearray(content)
        changed[at] ^= 4
    file.write_bytes(changed)
    with pytest.raises(UserError, match=r"damaged|cannot be read"):
        runs.read_checkpoint(folder)
    saved, problems = runs.newest_checkpoint(run)
    assert saved is not None and saved.folder == whole and len(problems) == 1 and str(folder) in problems[0]


def test_pruning_spares_what_it_is_told_and_the_best(run):
    for step in range(6):
        write(run, step)
    runs.mark_best(run, "00000001", {"psnr": 30.0})
    runs.prune(run, {"00000004", "00000005"})
    assert names(run) == ["00000001", "00000004", "00000005"]
    assert runs.best_name(run) == "00000001" and runs.best_scores(run) == {"psnr": 30.0}


def test_a_run_without_scores_has_no_best(run):
    assert runs.best_name(run) == "" and runs.best_scores(run) == {}


def test_setting_aside_hides_later_checkpoints_and_loses_none(run):
    for step in (1, 2, 3):
        write(run, step)
    moved = runs.set_aside(run, after=1)
    assert names(run) == ["00000001"]
    assert [path.name for path in moved] == ["00000002.damaged", "00000003.damaged"]
    assert all((path / "networks.safetensors").is_file() for path in moved)


# Writing under bad conditions


def test_a_file_is_whole_or_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "settings.json"
    runs.write_json(path, {"a": 1})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(UserError, match="Cannot write"):
            runs.write_json(path, {"a": "x" * 5000})
        with pytest.raises(UserError, match="Cannot write"):
            runs.write_group(tmp_path, 1, "networks", {"w": torch.ones(1000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert runs.read_json(path) == {"a": 1}
    assert [item.name for item in tmp_path.rglob("*") if item.is_file()] == ["settings.json"]


def test_writing_tensors_holds_one_of_them_in_memory_at_a_time(run):
    tensors = {str(number): torch.ones(1 << 20) for number in range(24)}
    torch.ones(1 << 20).contiguous()
    before = resident_peak()
    runs.write_group(run, 1, "networks", tensors)
    assert resident_peak() - before < 24 * 4 * (1 << 20) / 4


def resident_peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@pytest.mark.parametrize(
    ("content", "said"), [(None, "does not exist"), (b"{", "cannot be read"), (b"\xff", "cannot"), (b"[1]", "no JSON")]
)
def test_json_that_is_none_is_an_error_that_names_it(tmp_path, content, said):
    path = tmp_path / "x.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=said):
        runs.read_json(path)


# The log


def test_the_log_comes_back_without_the_line_that_a_kill_cut_short(run):
    for step in range(5):
        runs.append_log(run, {"step": step, "losses": {"G.gan": 0.5}})
    with (run / runs.LOG).open("ab") as file:
        file.write(b'{"step": 5, "loss')
    assert [entry["step"] for entry in runs.read_log(run)] == [0, 1, 2, 3, 4]
    runs.rewind_log(run, 3)
    assert (run / runs.LOG).read_text().count("\n") == 4
    runs.append_log(run, {"step": 4})
    assert [entry["step"] for entry in runs.read_log(run)] == [0, 1, 2, 3, 4]


def test_a_run_without_a_log_has_an_empty_one(run):
    assert list(runs.read_log(run)) == []
    runs.rewind_log(run, 10)
    assert list(runs.read_log(run)) == []


# Plots


def polylines(svg):
    tree = ElementTree.fromstring(svg)
    found = tree.findall("{http://www.w3.org/2000/svg}polyline")
    return [[tuple(map(float, pair.split(","))) for pair in line.attrib["points"].split()] for line in found]


def labels(svg):
    return [text.text for text in ElementTree.fromstring(svg).findall("{http://www.w3.org/2000/svg}text")]


def test_a_curve_is_drawn_to_scale_within_its_axes():
    svg = plots.curves({"D & G": ([0, 50, 100], [0.0, 5.0, 10.0])}, "a < b", "step")
    (line,) = polylines(svg)
    assert [x for x, _ in line] == pytest.approx([70, 380, 690], abs=0.1)
    assert [y for _, y in line] == pytest.approx([430, 235, 40], abs=0.1)
    assert {"a < b", "D & G", "step", "0", "100", "10"} <= set(labels(svg))


def test_values_over_three_decades_are_drawn_on_a_logarithmic_axis():
    svg = plots.curves({"loss": ([0, 1, 2], [1e-2, 1.0, 1e2])}, "t", "x")
    (line,) = polylines(svg)
    assert line[0][1] - line[1][1] == pytest.approx(line[1][1] - line[2][1], abs=0.2)
    assert "0.01" in labels(svg) and "100" in labels(svg)


def test_what_is_no_number_and_what_is_nothing_is_left_out():
    svg = plots.curves({"a": ([0, 1, 2], [1.0, float("nan"), 3.0]), "none": ([], []), "one": ([1], [2.0])}, "t", "x")
    assert [len(line) for line in polylines(svg)] == [2]
    assert "circle" in svg and "none" not in labels(svg)
    assert ElementTree.fromstring(plots.curves({}, "t", "x")) is not None


def test_a_long_curve_keeps_its_mean_and_few_points():
    points = [(float(n), float(n % 7)) for n in range(9_999)]
    few = plots.thin(points)
    assert len(few) <= plots.MOST_POINTS
    assert sum(y for _, y in few) / len(few) == pytest.approx(3.0, abs=0.05)
    assert few[0][0] < 20 and few[-1][0] > 9_970
    assert plots.thin(points[:500]) == points[:500]


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-3, 7.7), (5, 5), (1e-9, 2e-9), (0, 12345), (-1e6, -1e5)])
def test_ticks_are_round_span_the_range_and_are_few(low, high):
    found = plots.ticks(low, high)
    assert found[0] <= low and found[-1] >= high and 2 <= len(found) <= 9
    steps = {round((b - a) / (found[1] - found[0]), 6) for a, b in itertools.pairwise(found)}
    assert steps == {1.0}
    assert re.fullmatch(r"[125]|25|1.0|2.5", f"{(found[1] - found[0]) / 10 ** exponent(found[1] - found[0]):g}")


def exponent(value):
    return int(f"{value:e}".split("e")[1])
