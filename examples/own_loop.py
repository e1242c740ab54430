"""The losses in a loop of your own: pure functions on plain tensors, no engine and no stream."""

import torch
from torch import nn
from torch.nn import functional

from holdfast.anchor import relation_distillation
from holdfast.learner import simplex_etf
from holdfast.loss import focal_collapse

torch.manual_seed(0)
prototypes = simplex_etf(classes=4, dim=16)
network = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 16))
optimizer = torch.optim.SGD(network.parameters(), lr=0.1)

x, y = torch.randn(64, 8), torch.randint(2, 4, (64,))  # classes 2 and 3 are new
past = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 16))
past.load_state_dict(network.state_dict())

for step in range(20):
    z = functional.normalize(network(x), dim=1)
    with torch.no_grad():
        z_past = functional.normalize(past(x), dim=1)
    loss = focal_collapse(z, y, prototypes, tau=0.5, gamma=1.0, old=(0, 1))
    loss = loss + relation_distillation(z, z_past, now=0.2, past=0.2)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 5 == 0:
        print(f"step {step:2}  loss {loss.item():.4f}")
