"""Mixed rows: how they are drawn, what is asked of them, and that the engine makes them for who asks."""

import pytest
import torch
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

import reference_regularise as reference
from checker import unchecked
from clouds import normal
from holdfast.core.errors import ConfigError
from holdfast.core.rows import Rows
from holdfast.core.step import Step
from holdfast.learner import Output
from holdfast.loss import CrossEntropy, Mixup, mixup_loss, without_rival
from holdfast.memory import Protocol, Reservoir
from holdfast.recipes.method import Method
from holdfast.stream.mixing import Mixing, mixed_table, mixtures, symmetric_beta
from holdfast.testing import check_recipe
from holdfast.testing.devices import OnDevices, check_devices
from holdfast.testing.watched import QUICK, learned
from wired import rows as listed
from wired import wire


def lots(seed):
    return torch.Generator().manual_seed(seed)


# how rows are drawn


@pytest.mark.parametrize("alpha", [0.3, 1.0, 4.0])
def test_shares_are_of_a_symmetric_beta(alpha):
    """By moments that are known exactly, and against torch's own sampler by quantiles."""
    u = torch.rand(2, 20_000, generator=lots(1)).double()
    draws = unchecked(symmetric_beta)(u, alpha)
    assert float(draws.mean()) == pytest.approx(0.5, abs=0.01)
    assert float(draws.var()) == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.03)
    torch.manual_seed(0)
    other = torch.distributions.Beta(alpha, alpha).sample((20_000,)).double()
    levels = torch.tensor([0.1, 0.25, 0.4]).double()
    assert_close(draws.quantile(levels), other.quantile(levels), atol=0.015, rtol=0)


def test_ends_of_the_uniform_draws_stay_in_the_range():
    ends = torch.tensor([0.0, 1e-30, 0.25, 0.5, 1 - 2**-24])
    for alpha in (1e-3, 1.0, 1e3):
        for a in ends:
            for b in ends:
                assert 0 <= float(symmetric_beta(torch.stack([a, b]), alpha)) <= 1


@pytest.mark.parametrize("kept", [0.0, 0.25, 0.5, 1.0])
@pytest.mark.parametrize("within", ["new", "batch"])
def test_new_rows_are_mixed_among_themselves_and_the_kept_share_is_exact(kept, within):
    new = torch.tensor([True, False, True, True, False, True, True, True, True, True])
    mixing, draws = Mixing(0.7, kept, within), set()
    for seed in range(20):
        partner, share = mixing.draw(new, lots(seed))
        mixed = share < 1
        pool = new if within == "new" else torch.ones_like(new)
        count = int(pool.sum())
        assert int(mixed.sum()) == count - round(kept * count)  # without replacement: never fewer
        assert len(share[mixed].unique()) <= 1
        assert not bool(mixed[~pool].any())
        assert torch.equal(partner[~mixed], torch.arange(10)[~mixed])
        assert bool(pool[partner[mixed]].all())
        assert len(partner[mixed].unique()) == int(mixed.sum())  # each row serves once
        draws.add(tuple(partner.tolist()))
    assert len(draws) == (1 if kept == 1 else 20)


def test_the_same_chance_gives_the_same_mixture_and_a_row_kept_is_itself_to_the_bit():
    x, y = normal(0, 6, 1, 2, 2).float(), torch.arange(6)
    rows = Rows(x, y, torch.ones(6).long(), y + 10, {"noted": y * 2.0})
    draw = Mixing(kept=0.5).draw(y >= 0, lots(3))
    assert all(torch.equal(a, b) for a, b in zip(draw, Mixing(kept=0.5).draw(y >= 0, lots(3))))
    table, both = mixed_table(rows, *draw), mixtures(x, *draw)
    partner, share = draw
    assert torch.equal(table.extra["y2"], partner) and torch.equal(table.extra["lam"], share)
    assert torch.equal(table.extra["noted"], y * 2.0)
    for i in range(6):
        assert torch.equal(both[i], share[i] * x[i] + (1 - share[i]) * x[partner[i]])
    kept = share == 1
    assert int(kept.sum()) == 3 and torch.equal(both[kept], x[kept])
    assert torch.equal(mixtures(x, *draw, slice(2, 5)), both[2:5])


def test_weights_of_rows_mix_and_ones_stay_ones():
    y = torch.arange(4)
    rows = Rows(torch.zeros(4, 1), y, y, y, {"weight": torch.tensor([1.0, 3.0, 1.0, 1.0])})
    partner, share = torch.tensor([1, 0, 3, 2]), torch.tensor([0.3, 0.3, 0.3, 1.0])
    weight = mixed_table(rows, partner, share).extra["weight"]
    assert_close(weight, torch.tensor([2.4, 1.6, 1.0, 1.0]))
    assert weight[2:].tolist() == [1.0, 1.0]


# what is asked of them


SHARES = torch.tensor([0.3, 1.0, 0.5, 0.8, 0.1]).double()
A, B = torch.tensor([0, 1, 2, 3, 1]), torch.tensor([3, 1, 0, 3, 2])


@pytest.mark.parametrize("eta, balance", [(0.0, "lambda"), (0.3, "lambda"), (0.7, "none")])
def test_the_loss_equals_its_twin(eta, balance):
    z = normal(0, 5, 4)
    twin = reference.mixup(z.tolist(), A.tolist(), B.tolist(), SHARES.tolist(), eta, balance)
    assert float(mixup_loss(z, A, B, SHARES, eta, balance).mean()) == pytest.approx(twin)


def test_of_two_classes_the_decoupled_part_is_nothing():
    z, a, b = normal(1, 4, 2), torch.tensor([0, 1, 0, 1]), torch.tensor([1, 0, 0, 1])
    assert not bool(without_rival(z, a, b).any())
    assert_close(mixup_loss(z, a, b, SHARES[:4], 5.0), mixup_loss(z, a, b, SHARES[:4]))


def test_a_rival_is_out_of_the_softmax():
    z = normal(2, 5, 4).requires_grad_()
    (grad,) = torch.autograd.grad(without_rival(z, A, B).sum(), z)
    rival, apart = grad.gather(1, B[:, None])[:, 0], A != B
    assert not bool(rival[apart].any()) and bool(grad[apart].any(1).all())
    assert not bool(grad[~apart].any())
    assert torch.autograd.gradcheck(lambda z: mixup_loss(z, A, B, SHARES, 0.3), z)


def test_a_share_of_one_and_pairs_of_one_class_are_cross_entropy():
    z = normal(3, 5, 4)
    for y, partner, share in ((A, B, torch.ones(5).double()), (A, A, SHARES)):
        assert_close(mixup_loss(z, y, partner, share), cross_entropy(z, y, reduction="none"))
    assert_close(mixup_loss(z, A, A, SHARES, 0.9), cross_entropy(z, A, reduction="none"))


def step_of(z, y, partner, share):
    extra = {"y2": partner, "lam": share}
    rows = Rows(torch.zeros(len(y), 1), y, torch.ones_like(y), torch.arange(len(y)), extra)
    return Step(
        {"batch": rows, "mixed": rows}, lambda x: Output(z, z, z), task=1, classes=(2, 3),
        seen=(0, 1, 2, 3),
    )  # fmt: skip


def test_the_term_asks_the_classes_that_compete():
    z, y, partner = normal(4, 4, 4), torch.tensor([2, 3, 3, 0]), torch.tensor([3, 3, 2, 0])
    share = SHARES[:4]
    at = step_of(z, y, partner, share)
    seen = reference.mixup(z.tolist(), y.tolist(), partner.tolist(), share.tolist(), 0.2, "none")
    assert float(Mixup("seen", 0.2, "none")(at)) == pytest.approx(seen)
    assert float(Mixup("all", 0.2, "none")(at)) == pytest.approx(seen)
    two = reference.mixup(z[:3, 2:].tolist(), [0, 1, 1], [1, 1, 0], share[:3].tolist(), 0.0, "")
    assert float(Mixup("new")(at)) == pytest.approx(two)
    new, old = torch.tensor([2]), torch.tensor([0])
    mixture = step_of(z[:1], new, old, share[:1])
    assert_close(Mixup("new")(mixture), cross_entropy(z[:1, 2:], torch.tensor([0])))
    assert float(Mixup("new")(step_of(z[:1], old, old, share[:1]))) == 0


def test_what_cannot_be_is_refused():
    with pytest.raises(ConfigError, match="positive alpha, not alpha=0"):
        Mixing(0.0)
    with pytest.raises(ConfigError, match=r"lies in \[0, 1\], not kept=1.5"):
        Mixing(kept=1.5)
    with pytest.raises(ConfigError, match="unknown set of rows to mix within 'old'"):
        unchecked(Mixing.__init__)(Mixing(), within="old")
    with pytest.raises(ConfigError, match="at least 0, not eta=-1"):
        Mixup(eta=-1.0)
    with pytest.raises(ConfigError, match="two classes each"):
        CrossEntropy(on="mixed")
    both = r"rows mixed as Mixing\(alpha=1.0.* and as Mixing\(alpha=0.2"
    with pytest.raises(ConfigError, match=both):
        Method(Mixup(mixing=Mixing()), [Mixup(mixing=Mixing(0.2))])


# the engine


def test_one_way_of_mixing_serves_all_and_there_is_none_where_nobody_asks():
    assert Method(CrossEntropy()).mixing is None
    assert Method(Mixup()).mixing == Mixing()
    assert Method(Mixup(mixing=Mixing(0.2)), [0.5 * Mixup()]).mixing == Mixing(0.2)


def test_mixed_rows_are_the_views_of_the_batch_mixed_and_only_for_who_asks():
    wired = wire(Method(Mixup("seen", mixing=Mixing(0.8, 0.5)), [CrossEntropy("new")]))
    batch, mixed = wired.step["batch"], wired.step["mixed"]
    y, extra = mixed.rows.y, mixed.rows.extra
    assert torch.equal(y, batch.rows.y) and torch.equal(mixed.rows.key, batch.rows.key)
    share = extra["lam"]
    assert int((share == 1).sum()) == round(0.5 * len(y)) and len(share.unique()) == 2
    for i in range(len(y)):
        away = mixed.rows.x[i] - share[i] * batch.rows.x[i]
        gaps = (away - (1 - share[i]) * batch.rows.x).abs().amax(1)
        assert float(gaps.min()) < 1e-5
        assert y[gaps.argmin()] == extra["y2"][i] or share[i] == 1
    logits = listed(mixed.out.logits[:, :4])
    twin = reference.mixup(logits, y.tolist(), extra["y2"].tolist(), share.tolist(), 0, "")
    assert wired.records["mixup"] == pytest.approx(twin, rel=2e-4)
    assert wire("finetune").step.find("mixed") is None


def test_rows_of_a_memory_stay_as_they_are():
    method = Method(Mixup(), memory=Reservoir(8, "mix"), protocol=Protocol("buffer", 8))
    rows = wire(method).step["mixed"].rows
    old = rows.task == 0
    assert bool(old.any()) and bool((rows.extra["lam"][old] == 1).all())
    assert bool((rows.y[~old] >= 2).all()) and bool((rows.extra["y2"][~old] >= 2).all())


LAWS = (
    "same_seed_same_bits",
    "resume_is_uninterrupted",
    "resume_goes_on_to_the_end",
    "forward_budget",
)


def test_a_run_on_mixed_rows_alone_obeys_the_laws():
    """It costs one pass a step: nobody asks the batch itself."""
    check_recipe(lambda: Method(Mixup("new", 0.1), name="mixup"), LAWS)


def test_two_processes_mix_the_same_rows():
    parts = ("mixup:alpha=0.5:kept=0.25", "mixed_distillation")
    check_devices([OnDevices("lwf", setup=QUICK.updated(epochs=1), parts=parts)])


def test_a_batch_of_one_row_can_be_mixed(tiny_stream):
    work = learned(Method(Mixup("new")), tiny_stream, QUICK.updated(epochs=1, batch=1))
    assert work.result.status == "complete"
