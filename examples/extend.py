"""A classifier in use is given two new classes; nothing of the first eight was kept."""

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from holdfast import HoldfastClassifier

x, y = load_digits(return_X_y=True)
x, test_x, y, test_y = train_test_split(x, y, test_size=0.2, stratify=y, random_state=0)

model = HoldfastClassifier(random_state=0).fit(x[y < 8], y[y < 8])
old = test_y < 8
before = model.score(test_x[old], test_y[old])

model.partial_fit(x[y >= 8], y[y >= 8])  # eights and nines alone
after, new = model.score(test_x[old], test_y[old]), model.score(test_x[~old], test_y[~old])

print(f"old classes {before:.1%} -> {after:.1%}, new classes {new:.1%}")
print(f"kept: {model.holdings_.images} images, {model.holdings_.floats:,} numbers")
