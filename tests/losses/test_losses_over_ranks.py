"""One step on two processes equals one process on the whole batch, for every loss that a run may have.

Two gloo processes are started once and run all cases. Each takes its half of the batch, averages its gradients with
one flat all-reduce, and hands losses and gradients back; the same code in this process takes the whole batch.
"""

from pathlib import Path

import pytest
import torch
import torch.distributed as distributed
from adversarial_reference import BASES, CELLS
from torch import nn

from ganvas import ranks
from ganvas.losses import reconstruction, regularization
from ganvas.losses.adversarial import AdversarialLoss

BATCH, WORLD = 8, 2
SIDES = ("discriminator", "generator")


class Critic(nn.Module):
    """A patch discriminator of a few weights: its features and a 2x2 map of scores."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 1, 2, stride=2)

    def features(self, pictures):
        return torch.tanh(self.first(pictures))

    def forward(self, pictures):
        return self.last(self.features(pictures))


class Case:
    """Networks and batch, the same in every process; a rank sees its rows of the batch."""

    def __init__(self, dtype=torch.float64):
        random = torch.Generator().manual_seed(11)
        self.critic, self.generator = Critic(), nn.Conv2d(2, 3, 3, padding=1)
        for weight in (*self.critic.parameters(), *self.generator.parameters()):
            weight.data = torch.randn(weight.shape, generator=random)
        for network in (self.critic, self.generator):
            network.to(dtype)
        rows = BATCH // ranks.world_size()
        mine = slice(ranks.rank() * rows, (ranks.rank() + 1) * rows)
        self.real = torch.randn(BATCH, 3, 4, 4, generator=random).to(dtype)[mine]
        self.seeds = torch.randn(BATCH, 2, 4, 4, generator=random).to(dtype)[mine]

    def step(self, loss, network):
        """Return the loss over all ranks and the flat gradient, averaged as the training loop averages it."""
        gradients = torch.autograd.grad(loss, list(network.parameters()), allow_unused=True)
        flat = torch.cat([torch.zeros_like(p).flatten() if g is None else g.flatten()
                          for p, g in zip(network.parameters(), gradients)])  # fmt: skip
        result = torch.cat([loss.detach()[None], flat])
        if ranks.world_size() > 1:
            distributed.all_reduce(result)
        return result / ranks.world_size()

    def adversarial(self, loss, side):
        fake = self.generator(self.seeds)
        if side == "discriminator":
            return self.step(loss.discriminator(self.critic(self.real), self.critic(fake.detach())), self.critic)
        return self.step(loss.generator(self.critic(self.real), self.critic(fake)), self.generator)

    def accumulated(self, loss, parts):
        """A discriminator's step in micro-batches, with the two passes of `exact_means`."""
        fake = self.generator(self.seeds).detach()
        with torch.no_grad():
            gradients = loss.score_gradients(self.critic(self.real), self.critic(fake), "discriminator")
        size = len(fake) // parts
        shares = [
            gradients.micro_batch_loss(self.critic(self.real[i : i + size]), self.critic(fake[i : i + size]), i)
            for i in range(0, len(fake), size)
        ]
        return self.step(torch.stack(shares).mean(), self.critic)

    def results(self):
        found = {}
        for base, pairing in CELLS:
            loss = AdversarialLoss(base=base, pairing=pairing)
            for side in SIDES:
                found[f"{base} {pairing} {side}"] = self.adversarial(loss, side)
            found[f"{base} {pairing} accumulated"] = self.accumulated(loss, 2)
        for norm in ("l1", "l2", "squared"):
            # The generator's step uses the discriminator's features and nothing else of it.
            made, true = self.critic.features(self.generator(self.seeds)), self.critic.features(self.real)
            loss = reconstruction.mean_feature_matching(made, true, norm)
            found[f"mean features {norm}"] = self.step(loss, self.generator)
        found["r1"] = self.step(regularization.r1(self.critic, self.real), self.critic)
        return found


def run_rank(rank, folder):
    distributed.init_process_group("gloo", f"file://{folder}/rendezvous", rank=rank, world_size=WORLD)
    found = {"double": Case().results(), "float": Case(torch.float32).results()}
    torch.save(found, Path(folder) / f"rank{rank}.pt")
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranks")
    torch.multiprocessing.spawn(run_rank, (str(folder),), nprocs=WORLD)
    return [torch.load(folder / f"rank{rank}.pt", weights_only=True) for rank in range(WORLD)]


@pytest.fixture(scope="module")
def one_process():
    return {"double": Case().results(), "float": Case(torch.float32).results()}


NAMES = (
    *(f"{base} {pairing} {kind}" for base, pairing in CELLS for kind in (*SIDES, "accumulated")),
    *(f"mean features {norm}" for norm in ("l1", "l2", "squared")),
    "r1",
)


@pytest.mark.parametrize("name", NAMES)
def test_two_ranks_equal_one_process(two_ranks, one_process, name):
    expected = one_process["double"][name]
    assert expected[1:].abs().max() > 1e-3
    for found in two_ranks:
        assert (found["double"][name] - expected).abs().max() < 1e-9
        largest = one_process["float"][name].abs().max()
        assert (found["float"][name] - one_process["float"][name]).abs().max() < 1e-5 * largest


@pytest.mark.parametrize("base", BASES)
def test_the_check_would_notice_means_of_each_rank_alone(one_process, base):
    # Were the means local, two ranks would give this instead.
    loss = AdversarialLoss(base=base, pairing="average")
    case = Case()
    fake = case.generator(case.seeds).detach()
    halves = [
        loss.discriminator(case.critic(case.real[rows]), case.critic(fake[rows])) for rows in (slice(0, 4), slice(4, 8))
    ]
    local = case.step(torch.stack(halves).mean(), case.critic)
    difference = (local - one_process["double"][f"{base} average discriminator"]).abs().max()
    # Under Wasserstein the means cancel to the plain loss, which no sharding changes.
    assert (difference > 1e-4) == (base != "wasserstein")
