"""From a name to a run: what the advice after running out of memory is worth."""

from __future__ import annotations

import textwrap
from dataclasses import replace
from pathlib import Path

import pytest

import ganvas
from ganvas import cli, launch
from ganvas.io.weights import files as weights

TINY = Path(__file__).parent / "tiny_recipe.py"
ROOM = 9
"""Samples that fit into the memory of the machine that this test pretends to have."""


@pytest.fixture
def recipe(tmp_path) -> str:
    """The tiny recipe on a machine whose memory ends at a batch of nine."""
    path = tmp_path / "narrow.py"
    path.write_text(
        textwrap.dedent(f"""
            import importlib.util, sys, torch
            spec = importlib.util.spec_from_file_location("tiny_for_launch", {str(TINY)!r})
            tiny = sys.modules["tiny_for_launch"] = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(tiny)

            class Narrow(tiny.Tiny):
                def forward(self, nets, batch, carry, context):
                    if len(batch.low) > {ROOM}:
                        raise torch.OutOfMemoryError(f"no room for {{len(batch.low)}} samples")
                    return super().forward(nets, batch, carry, context)
        """)
    )
    return str(path)


def test_a_batch_that_does_not_fit_is_answered_by_one_that_does(recipe, tmp_path, capsys):
    arguments = ["train", recipe, "--data", "x", "--samples", "64", "--quiet"]
    assert cli.main([*arguments, "--out", str(tmp_path / "large"), "--batch-size", "32"]) == cli.USER_ERROR
    said = capsys.readouterr().err
    assert "Out of memory at step 0 with a batch of 32" in said
    assert "--batch-size 8 --micro-batches 4" in said  # 16 does not fit, 8 does, and 8 x 4 is the batch asked for
    advised = ["--batch-size", "8", "--micro-batches", "4"]
    assert cli.main([*arguments, "--out", str(tmp_path / "fits"), *advised]) == cli.DONE


def test_each_network_starts_from_its_own_in_a_run(tmp_path):
    run = ganvas.train(str(TINY), "x", tmp_path / "run", quiet=True)
    order = replace(launch.order(str(TINY), changes={"data": "x"}), init=(str(run), f"discriminator={run}"))
    given = launch.plan(order).init
    for network in ("generator", "discriminator"):
        kept = weights.read_run(run, network).tensors
        assert given[network].keys() == kept.keys() and all(given[network][key].equal(kept[key]) for key in kept)
    assert given["generator"].keys() != given["discriminator"].keys()
