"""What the views cost: images per second against kornia, and their share of a training step.

Run ``python benchmarks/augment.py``; kornia is only needed for the comparison. The contenders take
turns in one process, so a busy machine slows both; what counts is the median of the turns' ratios.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from holdfast.core.numerics import to_float
from holdfast.stream.augment import CONTRASTIVE, CONTRASTIVE_TINY, PLAIN


class Block(nn.Module):
    """Two 3x3 convolutions with a shortcut; ``stride`` halves the side."""

    def __init__(self, width: int, out: int, stride: int):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width, out, 3, stride, 1, bias=False),
            nn.BatchNorm2d(out),
            nn.ReLU(),
            nn.Conv2d(out, out, 3, 1, 1, bias=False),
            nn.BatchNorm2d(out),
        )
        self.shortcut = nn.Conv2d(width, out, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """The block's output, (N, out, H / stride, W / stride)."""
        return torch.relu(self.body(x) + self.shortcut(x))


def network() -> nn.Module:
    """A residual network of about 1.2 million parameters for 32x32 images."""
    blocks = [Block(32, 32, 1), Block(32, 64, 2), Block(64, 128, 2), Block(128, 256, 2)]
    stem = nn.Sequential(nn.Conv2d(3, 32, 3, 1, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU())
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(256, 10))
    net = nn.Sequential(stem, *blocks, head)
    return net.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def kornia_contrastive(side: int) -> Callable[[Tensor], Tensor]:
    """The same draws as ``CONTRASTIVE``, made by kornia."""
    import kornia.augmentation as kornia

    chain = nn.Sequential(
        kornia.RandomResizedCrop((side, side), scale=(0.2, 1.0), same_on_batch=False),
        kornia.RandomHorizontalFlip(p=0.5, same_on_batch=False),
        kornia.ColorJitter(0.4, 0.4, 0.4, 0.1, p=0.8, same_on_batch=False),
        kornia.RandomGrayscale(p=0.2, same_on_batch=False),
    )
    return lambda x: chain(to_float(x))


def seconds(call: Callable[[], object], device: torch.device) -> float:
    """How long one call takes, the device's queue included."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def turns(
    calls: dict[str, Callable[[], object]], repeats: int, device: torch.device
) -> dict[str, list[float]]:
    """Seconds of every call, the calls taking turns, after one turn to warm up."""
    times = [
        {name: seconds(call, device) for name, call in calls.items()} for _ in range(repeats + 1)
    ]
    return {name: [turn[name] for turn in times[1:]] for name in calls}


def ratio(above: list[float], below: list[float]) -> float:
    """Median over turns of one call's time over another's."""
    return statistics.median(a / b for a, b in zip(above, below))


def main() -> None:
    parser = argparse.ArgumentParser(description="What the views cost.")
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--side", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()
    device = torch.device(args.device)
    generator = torch.Generator(device).manual_seed(0)
    shape = (args.batch, 3, args.side, args.side)
    x = torch.randint(0, 256, shape, dtype=torch.uint8, device=device, generator=generator)
    print(
        f"{args.batch} images of {args.side}x{args.side}, {device}, {torch.get_num_threads()} threads"
    )

    ours = {"contrastive": CONTRASTIVE, "contrastive-tiny": CONTRASTIVE_TINY, "plain": PLAIN}
    calls: dict[str, Callable[[], object]] = {
        name: (lambda augment=augment: augment(x, generator)) for name, augment in ours.items()
    }
    try:
        kornia = kornia_contrastive(args.side)
        calls["kornia"] = lambda: kornia(x)
    except ImportError:
        print("kornia is not installed: no comparison")
    times = turns(calls, args.repeats, device)
    for name, spent in times.items():
        print(f"{name:17s} {args.batch / statistics.median(spent):10,.0f} images/s")
    if "kornia" in times:
        print(
            f"contrastive is {ratio(times['kornia'], times['contrastive']):.1f} times as fast as kornia's"
        )

    net = network().to(device)
    view = CONTRASTIVE(x, generator)
    step = lambda: net(view).logsumexp(1).mean().backward()
    calls = {"step": step, "contrastive": lambda: CONTRASTIVE(x, generator)}
    times = turns(calls, max(3, args.repeats // 3), device)
    share = ratio(times["contrastive"], times["step"])
    count = sum(p.numel() for p in net.parameters())
    print(
        f"forward and backward of {count / 1e6:.1f} M parameters: {statistics.median(times['step']):.3f} s"
    )
    print(f"views / (views + step) = {share / (1 + share):.2%}")


if __name__ == "__main__":
    main()
