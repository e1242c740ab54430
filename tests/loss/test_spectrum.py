"""Terms on features and on weights: even spectra, nested dropout and orthogonal convolutions."""

import logging
import math

import pytest
import torch
from torch import nn
from torch.nn.functional import conv2d, pad
from torch.testing import assert_close

import reference_regularise as reference
from checker import unchecked
from clouds import normal
from holdfast.core.errors import ConfigError, DataError
from holdfast.core.step import Step
from holdfast.loss import (
    CrossEntropy,
    EvenSpectrum,
    NestedDropout,
    OrthogonalConvolutions,
    accuracy_by_width,
    best_width,
    orthogonality,
    uneven_spectrum,
)
from holdfast.loss.nested import width_odds
from holdfast.loss.orthogonal_conv import reason_against
from holdfast.testing.bench import Bench

# the singular values


@pytest.mark.parametrize("n, d", [(9, 4), (4, 9), (5, 5)])
def test_the_spectrum_equals_its_twin(n, d):
    u = normal(0, n, d)
    twin = reference.uneven_spectrum(u.tolist())
    assert float(uneven_spectrum(u)) == pytest.approx(twin, abs=1e-4)


def test_its_least_and_its_largest_value_are_known():
    frame = torch.cat([torch.eye(4), -torch.eye(4), torch.eye(4)]).double()
    assert float(uneven_spectrum(frame)) == pytest.approx(0, abs=1e-6)
    assert float(uneven_spectrum(3 * frame[:4])) == pytest.approx(0, abs=1e-5)
    for n, d in ((12, 4), (3, 20)):
        same = normal(1, 1, d).expand(n, -1)
        largest = 1 - 1 / math.sqrt(min(n, d))
        assert float(uneven_spectrum(same)) == pytest.approx(largest, abs=2e-3)
    assert float(uneven_spectrum(torch.zeros(0, 3))) == 0


def test_a_rotation_and_rows_of_no_length_change_nothing():
    u, turn = normal(2, 9, 4), torch.linalg.qr(normal(3, 4, 4))[0]
    assert_close(uneven_spectrum(u @ turn), uneven_spectrum(u))
    assert_close(uneven_spectrum(torch.cat([u, torch.zeros(3, 4).double()])), uneven_spectrum(u))


@pytest.mark.parametrize("rows", [torch.eye(4).repeat(2, 1), torch.ones(5, 4), torch.zeros(3, 4)])
def test_gradients_are_finite_where_singular_values_are_equal_or_none(rows):
    u = rows.clone().requires_grad_()
    uneven_spectrum(u).backward()
    assert bool(u.grad.isfinite().all())


def test_gradients_of_the_spectrum_are_right():
    for shape in ((7, 3), (3, 7)):
        assert torch.autograd.gradcheck(uneven_spectrum, normal(4, *shape).requires_grad_())


def test_the_term_reads_the_new_rows_of_its_space():
    bench = Bench()
    step = bench.step()
    for of in ("features", "embedding"):
        expected = uneven_spectrum(getattr(step["new"].out, of))
        assert_close(EvenSpectrum(of)(step), expected)
    with pytest.raises(ConfigError, match="unknown space 'logits'"):
        unchecked(EvenSpectrum.__init__)(EvenSpectrum(), of="logits")


# nested dropout


class Fixed(NestedDropout):
    """Of a width that is not drawn."""

    def width(self, h):
        return torch.tensor([min(self.k, h.shape[1])])


@pytest.mark.parametrize("k", [1, 3, 10_000])
def test_the_first_features_alone_are_asked(k):
    bench = Bench()
    step, term = bench.step(), Fixed(classes="all")
    term.k = k
    out, head, y = step["batch"].out, bench.learner.head, step["batch"].rows.y
    twin = reference.nested(
        out.features.tolist(), y.tolist(), head.weight.tolist(), head.bias.tolist(), k
    )
    assert term(step).item() == pytest.approx(twin, rel=1e-5)


@pytest.mark.parametrize("classes", ["new", "seen", "all"])
def test_with_all_features_it_is_cross_entropy(classes):
    step, term = Bench().step(), Fixed(classes=classes)
    term.k = 10_000
    assert_close(term(step), CrossEntropy(classes)(step))


def test_widths_are_drawn_by_their_odds_once_a_step():
    h, term = torch.zeros(2, 20), NestedDropout(0.25)
    torch.manual_seed(0)
    draws = torch.cat([term.width(h) for _ in range(4000)])
    odds = [math.exp(-((k / 5) ** 2)) for k in range(1, 21)]
    for k in (1, 4, 8):
        share = float((draws == k).float().mean())
        assert share == pytest.approx(odds[k - 1] / math.fsum(odds), abs=0.02)
    assert int(draws.min()) == 1 and int(draws.max()) <= 20
    assert float(width_odds(512, 100 / 512) @ torch.arange(1, 513.0)) / float(
        width_odds(512, 100 / 512).sum()
    ) == pytest.approx(56.7, abs=0.05)
    assert width_odds(3, math.inf).tolist() == [1.0, 1.0, 1.0]
    step = Bench().step()
    assert torch.equal(term(step), term(step))  # a rule may ask twice
    with pytest.raises(ConfigError, match="must be positive, not 0"):
        NestedDropout(0.0)
    bare = Step(
        {"batch": step["batch"].rows}, step["batch"]._forward, classes=(2, 3), seen=(0, 1, 2, 3)
    )
    with pytest.raises(ConfigError, match="this step has no learner"):
        term(bare)


def test_a_linear_code_comes_out_in_the_order_of_its_principal_components():
    """What nested dropout is for, on a linear auto-encoder: its columns turn into those of a PCA."""
    basis = torch.linalg.qr(normal(0, 4, 4))[0]
    x = normal(1, 200, 4) * torch.tensor([3.0, 2.0, 1.0, 0.5]).double() @ basis.T
    code, back = (0.1 * normal(2, 4, 4)).requires_grad_(), (0.1 * normal(9, 4, 4)).requires_grad_()
    odds = width_odds(4, 1.0).double()
    cut = torch.ones(4, 4).double().tril()  # row k has the first k + 1 of the code
    search = torch.optim.LBFGS([code, back], max_iter=400, line_search_fn="strong_wolfe")

    def loss():
        search.zero_grad()
        kept = (x @ code)[None] * cut[:, None]
        value = (odds[:, None, None] * (kept @ back - x) ** 2).mean()
        value.backward()
        return value

    search.step(loss)
    learned = torch.nn.functional.normalize(back.detach(), dim=1)
    components = torch.linalg.svd(x, full_matrices=False)[2]
    assert_close((learned * components).sum(1).abs(), torch.ones(4).double(), atol=0.02, rtol=0)


def test_accuracy_by_width_is_that_of_each_cut_and_the_best_is_the_narrowest():
    h, weight, bias = normal(0, 40, 5), normal(1, 3, 5), normal(2, 3)
    y = (h[:, :2] @ weight[:, :2].T + bias).argmax(1)  # the first two features decide
    accuracy = accuracy_by_width(h, y, weight, bias)
    for k in range(1, 6):
        right = ((h[:, :k] @ weight[:, :k].T + bias).argmax(1) == y).double().mean()
        assert_close(accuracy[k - 1], right)
    assert accuracy[1] == 1 and best_width(accuracy) == 2
    assert best_width(torch.tensor([0.5, 0.6, 0.7]), price=0.2) == 1


# orthogonal convolutions


KERNELS = [(1, (3, 2, 3, 3)), (2, (5, 1, 3, 3)), (2, (3, 2, 5, 5)), (1, (4, 5, 1, 1))]


@pytest.mark.parametrize("stride, shape", KERNELS)
def test_orthogonality_equals_its_twin(stride, shape):
    kernel = normal(0, *shape)
    twin = reference.orthogonality(kernel.tolist(), stride)
    assert float(orthogonality(kernel, stride)) == pytest.approx(twin)


def delta(out, into, scale=1.0):
    kernel = torch.zeros(out, into, 3, 3)
    kernel[range(into), range(into), 1, 1] = scale
    return kernel


def test_its_value_where_it_is_known():
    assert float(orthogonality(delta(4, 4))) == 0
    assert float(orthogonality(delta(4, 4, 2.0))) == 36
    assert float(orthogonality(delta(8, 4))) == 0
    space_to_depth = torch.zeros(8, 2, 3, 3)  # each of 2 x 2 places of 2 channels to a channel
    for m in range(8):
        space_to_depth[m, m // 4, 1 + m % 4 // 2, 1 + m % 2] = 1.0
    assert float(orthogonality(space_to_depth, 2)) == 0


def test_it_is_the_distance_of_the_layers_matrix_from_orthonormal_rows():
    """With circular padding and wide inputs: ||T T^T - I||^2 is width^2 times it."""
    kernel, width = 0.3 * normal(1, 3, 4, 3, 3), 6
    inputs = torch.eye(4 * width**2).double().view(-1, 4, width, width)
    outputs = conv2d(pad(inputs, (1, 1, 1, 1), mode="circular"), kernel)
    matrix = outputs.flatten(1).T
    away = matrix @ matrix.T - torch.eye(len(matrix)).double()
    assert_close(away.square().sum(), width**2 * orthogonality(kernel))


def test_layers_that_cannot_be_orthogonal_are_named_and_left_out(caplog):
    assert reason_against(nn.Conv2d(2, 20, 3)) == ""  # more outputs than inputs: its columns
    assert "cannot be orthogonal at stride 2" in reason_against(nn.Conv2d(64, 128, 1, stride=2))
    assert "wider than its kernel" in reason_against(nn.Conv2d(1, 20, 3, stride=4))
    assert "cannot be orthogonal at stride 4" in reason_against(nn.Conv2d(1, 12, 3, stride=4))
    assert "groups" in reason_against(nn.Conv2d(4, 4, 3, groups=4))
    assert "holes" in reason_against(nn.Conv2d(4, 4, 3, dilation=2))
    assert "square and odd" in reason_against(nn.Conv2d(4, 4, (3, 1)))
    bench, term = Bench(), OrthogonalConvolutions()
    layers = dict(bench.learner.backbone.named_modules())
    convolutions = {n: m for n, m in layers.items() if isinstance(m, nn.Conv2d)}
    left_out = [name for name, layer in convolutions.items() if reason_against(layer)]
    expected = sum(
        orthogonality(layer.weight, layer.stride[0])
        for name, layer in convolutions.items()
        if name not in left_out
    )
    assert_close(term(bench.step()), expected)
    with caplog.at_level(logging.WARNING, "holdfast.loss.orthogonal_conv"):
        term.begin(bench.learner, bench.stream[0])
        spoken = [record.getMessage() for record in caplog.records]
        term.begin(bench.learner, bench.task)
    assert len(caplog.records) == len(spoken)  # once, in the first task
    assert [name for name in left_out if not any(name in line for line in spoken)] == []
    assert len(spoken) == len(left_out) and len(left_out) < len(convolutions)


def test_a_network_without_convolutions_is_asked_nothing(caplog, vector_stream):
    bench, term = Bench(stream=vector_stream), OrthogonalConvolutions()
    assert float(term(bench.step())) == 0
    with caplog.at_level(logging.WARNING, "holdfast.loss.orthogonal_conv"):
        term.begin(bench.learner, bench.stream[0])
    assert "no convolution that can be orthogonal" in caplog.text
    with pytest.raises(DataError, match="odd k, not"):
        orthogonality(torch.zeros(2, 2, 4, 4))
