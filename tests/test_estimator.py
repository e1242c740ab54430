"""HoldfastClassifier: scikit-learn's convention, and what a task at a time asks of it."""

import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris, load_wine
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from holdfast import HoldfastClassifier, Method
from holdfast.core.errors import DivergedError, HoldfastError
from holdfast.loss import CrossEntropy
from holdfast.stream.pixels import stacked
from holdfast.train.continual import Continual

SMALL = {"epochs": 2, "width": 8, "device": "cpu", "random_state": 0}


def small(**options):
    return HoldfastClassifier(**(SMALL | options))


def clouds(each=12, classes=4, width=3, seed=0):
    chance = np.random.default_rng(seed)
    y = np.arange(classes).repeat(each)
    centres = 4 * np.random.default_rng(9).normal(size=(classes, width))
    return centres[y] + chance.normal(size=(len(y), width)), y


def pictures(channels=3, each=6):
    """(N, C, 8, 8) uint8 of a dark and a bright class."""
    chance = np.random.default_rng(0)
    y = np.arange(2).repeat(each)
    noise = chance.integers(0, 100, (len(y), channels, 8, 8))
    return (noise + 150 * y[:, None, None, None]).astype(np.uint8), y


CHECK = """
from sklearn.utils.estimator_checks import check_estimator
from holdfast import HoldfastClassifier
found = check_estimator(HoldfastClassifier(), on_fail=None, on_skip=None)
print(len(found), *(f"{c['check_name']}:{c['status']}" for c in found if c["status"] != "passed"))
"""


def test_it_passes_scikit_learns_checks():
    """At the defaults, as a user has it: without the type checker that these tests run under.

    None is expected to fail, and none is skipped: the switch lets the one about array libraries run.
    """
    switched = os.environ | {"SCIPY_ARRAY_API": "1"}
    command = [sys.executable, "-c", CHECK]
    done = subprocess.run(command, capture_output=True, text=True, env=switched)
    count, *others = done.stdout.split()
    assert (int(count) > 50, others) == (True, []), done.stderr


@pytest.mark.parametrize(
    "load, least",
    [(load_iris, 0.9), (load_wine, 0.93), (load_digits, 0.95)],
    ids=["iris", "wine", "digits"],
)
def test_the_defaults_learn_tables(load, least):
    x, y = load(return_X_y=True)
    x, test_x, y, test_y = train_test_split(x, y, test_size=0.3, stratify=y, random_state=0)
    assert HoldfastClassifier(random_state=0).fit(x, y).score(test_x, test_y) >= least


def test_a_class_a_call_on_a_table_of_any_scale():
    x, y = load_wine(return_X_y=True)  # proline counts hundreds, hue tenths
    x, test_x, y, test_y = train_test_split(x, y, test_size=0.3, stratify=y, random_state=0)
    model = HoldfastClassifier(random_state=0)
    for k in range(3):
        model.partial_fit(x[y == k], y[y == k])
    assert model.score(test_x, test_y) >= 0.9
    assert model.holdings_.images == 0 and len(model.continual_.progress.notes) == 3


def test_new_old_and_mixed_string_classes():
    x, y = clouds()
    names = np.array(["owl", "cat", "yak", "a very long name"])[y]
    model = small()
    for chosen in ([1, 2], [0], [0, 2, 3], [1]):
        model.partial_fit(x[np.isin(y, chosen)], names[np.isin(y, chosen)].tolist())
    assert model.classes_.tolist() == sorted(set(names))
    assert set(model.predict(x)) <= set(names)
    found = model.predict_proba(x)
    np.testing.assert_allclose(found.sum(1), 1)
    assert (model.classes_[found.argmax(1)] == model.predict(x)).all()


@pytest.mark.parametrize("labels", [[-1, 7, 100], [0.0, 2.0, 1.0], [True, False, True]])
def test_labels_keep_their_kind(labels):
    x, y = clouds(classes=3)
    named = np.array(labels)[y]
    model = small().fit(x, named)
    assert model.classes_.tolist() == sorted(set(labels))
    assert model.predict(x).dtype == named.dtype
    assert model.score(x, named) > 0.6


def test_fit_forgets_and_partial_fit_goes_on():
    x, y = clouds(classes=2)
    model = small().partial_fit(x, y)
    model.partial_fit(x, y + 2)
    assert model.classes_.tolist() == [0, 1, 2, 3]
    assert model.fit(x, y).classes_.tolist() == [0, 1]
    np.testing.assert_array_equal(model.predict_proba(x), small().fit(x, y).predict_proba(x))


def test_each_call_is_learned_as_the_parameters_say_then():
    x, y = clouds(classes=2)
    model = small().partial_fit(x, y)
    model.set_params(epochs=5).partial_fit(x, y)
    assert [note.epochs for note in model.continual_.progress.notes] == [2, 5]


def test_declared_classes_are_columns_and_others_may_still_come():
    x, y = clouds(classes=2)
    model = small().partial_fit(x, y, classes=[0, 1, 5])
    assert model.classes_.tolist() == [0, 1, 5]
    assert (model.predict_proba(x)[:, 2] == 0).all()
    model.partial_fit(x, y + 3)
    assert model.classes_.tolist() == [0, 1, 3, 4, 5]
    with pytest.raises(ValueError, match="label 1 is in y but not in classes"):
        model.partial_fit(x, y, classes=[0, 5])


LAYOUTS = {
    "channels first": lambda x: x,
    "channels last": lambda x: x.transpose(0, 2, 3, 1),
    "floats": lambda x: x / 255,
    "tensor": lambda x: torch.from_numpy(x),
    "PIL": lambda x: [Image.fromarray(image.transpose(1, 2, 0)) for image in x],
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_images_in_any_layout_are_the_same_images(layout):
    x, y = pictures()
    expected = small().fit(x, y)
    found = small().fit(LAYOUTS[layout](x), y)
    assert (found.shape_in_, found.n_features_in_) == ((3, 8, 8), 192)
    np.testing.assert_array_equal(found.predict_proba(x), expected.predict_proba(x))
    assert found.score(LAYOUTS[layout](x), y) == 1.0


def test_pil_images_of_any_mode_and_turn():
    x, y = pictures()
    images = [Image.fromarray(image.transpose(1, 2, 0)) for image in x]
    modes = ["RGB", "L", "P", "RGBA", "CMYK", "I;16"] * 2
    mixed = [image.convert("L").convert(mode) for image, mode in zip(images, modes, strict=True)]
    turned = mixed[0].copy()
    turned.getexif()[0x0112] = 3  # upside down
    model = small().fit(mixed, y)
    assert model.shape_in_ == (3, 8, 8)
    np.testing.assert_array_equal(
        stacked([turned])[0][0].numpy(), np.asarray(mixed[0].rotate(180)).transpose(2, 0, 1)
    )
    with pytest.raises(
        ValueError, match=r"image 1 cannot be read \(its pixels are floating-point numbers"
    ):
        model.predict([images[0], images[0].convert("F")])


def test_grey_images_without_a_channel_axis():
    x, y = pictures(1)
    assert small().fit(x[:, 0], y).score(x, y) == 1.0


def test_a_class_of_one_image_and_one_image_alone():
    x, y = pictures()
    model = small().partial_fit(x[:1], y[:1])
    assert model.predict(x[:2]).tolist() == [0, 0]
    model.partial_fit(x[-1:], y[-1:])
    assert model.classes_.tolist() == [0, 1] and model.holdings_.images == 0


def test_ten_thousand_classes():
    chance = np.random.default_rng(0)
    y = np.arange(10_000)
    x = chance.normal(size=(10_000, 16))
    with pytest.warns(UserWarning, match="129 equidistant prototypes and there are now 10000"):
        model = small(epochs=1, batch=1000).fit(x, y)
    assert model.predict_proba(x[:3]).shape == (3, 10_000)
    assert len(model.classes_) == len(model.continual_.labels) == 10_000


BAD = {
    "nan": (lambda x, y: (np.where(x > 9, x, np.nan), y), "NaN"),
    "no label": (lambda x, y: (x, [None, *y[1:].tolist()]), "missing label"),
    "nan label": (lambda x, y: (x, [float("nan"), *y[1:].tolist()]), "missing label"),
    "mixed": (lambda x, y: (x, ["cat", *y[1:].tolist()]), "'cat' and 0: labels are all strings"),
    "mixed objects": (lambda x, y: (x, np.array(["cat", *y[1:]], object)), "all strings or all"),
    "continuous": (lambda x, y: (x, y + 0.5), "Unknown label type"),
    "lengths": (lambda x, y: (x, y[:-1]), "48 rows and y has 47"),
    "strings later": (lambda x, y: (x, y.astype(str)), "strings in one call and numbers"),
    "other width": (
        lambda x, y: (x[:, :2], y),
        "2 features, but HoldfastClassifier is expecting 3",
    ),
    "images later": (lambda x, y: (np.zeros((48, 8, 8)), y), r"\(1, 8, 8\), but the first task's"),
    "pixels to 255": (lambda x, y: (np.full((48, 8, 8), 200.0), y), r"must lie in \[0, 1\]"),
    "two sizes": (
        lambda x, y: ([Image.new("L", (8, 8 + i % 2)) for i in range(48)], y),
        "8 x 8 and 8 x 9 pixels",
    ),
    "five axes": (lambda x, y: (np.zeros((2, 1, 1, 1, 1)), y[:2]), "dim 5"),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_learned_is_refused_and_changes_nothing(case):
    make, message = BAD[case]
    x, y = clouds()
    model = small().partial_fit(x, y)
    before = dict(vars(model))
    with pytest.raises(ValueError, match=message):
        model.partial_fit(*make(x, y))
    assert vars(model) == before


def test_a_call_that_diverges_leaves_the_classifier_in_use():
    x, y = clouds()
    model = small(recipe="finetune").partial_fit(x, y)
    before = model.predict_proba(x)
    model.set_params(lr=1e30)
    with pytest.raises(DivergedError, match=r"not finite|became"):
        model.partial_fit(x, y + 4)
    np.testing.assert_array_equal(model.predict_proba(x), before)
    assert model.classes_.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "options, message",
    [
        ({"recipe": "fcn2"}, "did you mean 'fnc2'"),
        ({"recipe": "er"}, "rehearses stored images, .* strict"),
        ({"protocol": "buffer"}, "needs a number of images"),
        ({"protocol": "lax"}, "unknown protocol 'lax'"),
        ({"parameters": {"tua": 1.0}}, "tua"),
        ({"lr": -1.0}, "lr must be positive"),
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"epochs": 2.5}, "epochs cannot be 2.5: it must be a whole number"),
        ({"lr": "fast"}, "lr cannot be 'fast': it must be a number"),
        ({"readout": "probe"}, "the protocol strict keeps none"),
        ({"backbone": "resnet18"}, "does not take inputs of shape"),
        ({"recipe": Method(CrossEntropy()), "parameters": {"a": 1}}, "belong to a recipe by name"),
    ],
)
def test_settings_that_cannot_run_are_refused(options, message):
    with pytest.raises(HoldfastError, match=message):
        small().set_params(**options).fit(*clouds())  # as set, not yet looked at


def test_an_unfitted_classifier_says_so():
    for ask in (small().predict, small().predict_proba):
        with pytest.raises(NotFittedError):
            ask(clouds()[0])
    with pytest.raises(NotFittedError):
        small().score(*clouds())


def test_a_class_never_learned_counts_as_missed():
    x, y = clouds(classes=2)
    model = small(epochs=10).fit(x, y)
    whole = model.score(x, y)
    assert model.score(np.concatenate([x, x]), np.concatenate([y, y + 2])) == whole / 2
    with pytest.raises(ValueError, match="strings in one call and numbers"):
        model.score(x, y.astype(str))


def test_images_are_stored_only_when_asked_for():
    x, y = clouds()
    assert small(recipe="er", protocol="buffer", images=10).fit(x, y).holdings_.images == 10
    assert small(recipe="er", protocol="auto").fit(x, y).holdings_.images == 48
    assert small(protocol="auxiliary", images=7).fit(x, y).holdings_.images == 7


def test_a_method_of_ones_own_is_a_recipe_and_stays_as_it_was():
    x, y = clouds()
    own = Method(CrossEntropy(), name="mine")
    model = clone(small(recipe=own, epochs=20, batch=8, lr=0.05))
    assert model.fit(x, y).score(x, y) > 0.9
    assert isinstance(model.continual_, Continual) and model.continual_.method is not own


def test_a_seed_decides_and_a_pickle_goes_on_alike():
    x, y = clouds()
    one, two, other = small().fit(x, y), small().fit(x, y), small(random_state=1).fit(x, y)
    np.testing.assert_array_equal(one.predict_proba(x), two.predict_proba(x))
    assert (one.predict_proba(x) != other.predict_proba(x)).any()
    again = pickle.loads(pickle.dumps(one))
    for model in (one, again):
        model.partial_fit(x, y + 4)
    np.testing.assert_array_equal(one.predict_proba(x), again.predict_proba(x))


def test_it_stands_in_a_pipeline():
    x, y = clouds()
    line = make_pipeline(FunctionTransformer(np.sinh), small(epochs=10))
    assert line.fit(x / 9, y).score(x / 9, y) > 0.8
    assert set(line.get_params()) >= {"holdfastclassifier__recipe", "holdfastclassifier__lr"}
