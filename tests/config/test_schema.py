"""What a run says of itself: its networks, chunks, priors, and what is checked where it is switched on."""

import pytest

from lensvit.config.run import validate
from lensvit.config.schema import RESERVED, check_names, chunks
from lensvit.errors import LensvitError
from lensvit.io.tables import CATALOG
from lensvit.lensing.settings import full_priors
from lensvit.parameters import NAMES
from tests.config.configs import ablation, changed, content


def test_a_model_cannot_be_called_as_another_column_of_the_table():
    merged = content()
    merged["models"]["prior"] = {**merged["models"]["resnet"], "label": "Other"}
    with pytest.raises(LensvitError, match=r"models\.prior: .*choose another key"):
        validate(merged)


@pytest.mark.parametrize("key", ["models", "psfs", "instruments", "shift.cases"])
@pytest.mark.parametrize("name", ["target", "theta_E", "NA"])
def test_models_psfs_instruments_and_cases_have_names_of_their_own(key, name):
    merged = content()
    part = merged["shift"]["cases"] if key == "shift.cases" else merged[key]
    first = next(iter(part.values()))
    part[name] = {**first, "label": "x"} if "label" in first else first
    with pytest.raises(LensvitError, match=rf"^config: {key}\.{name}: .*; choose another key$"):
        validate(merged)


OTHERS = ("Overall", "nan", "Null", "true", "12", "1e5", "published_x")


@pytest.mark.parametrize("name", [*sorted(RESERVED), *NAMES, *OTHERS])
def test_names_that_tables_use_or_read_as_something_else_are_refused(name):
    check_names("models", ["vit", "resnet_2", "targets", "hst_a"])
    with pytest.raises(ValueError, match=rf"models\.{name}: "):
        check_names("models", ["vit", name])


def test_names_of_tables_are_reserved():
    """Columns of the catalogue, whose places beside models' names they share, and of Table 1."""
    assert set(CATALOG) - set(NAMES) <= RESERVED
    assert {"overall", "prior", "limit", "refined", "mcmc", "all", "target"} <= RESERVED


@pytest.mark.parametrize("off", [{"enabled": False}, {"train": False}])
def test_an_ablation_that_is_not_trained_has_no_networks(off):
    assert list(ablation(**off).networks) == ["vit", "resnet"]


def test_a_wrong_change_of_a_variant_is_named():
    with pytest.raises(LensvitError, match=r"models\.resnet-raw-1\.changes\.stretch.*'rough'"):
        ablation(variants={"raw": {"label": "raw", "changes": {"stretch": "rough"}}})


def test_a_prior_changes_by_field_or_as_a_whole():
    changes = {"theta_E": {"mean": 1.0}, "gamma": {"kind": "uniform", "low": 1.8, "high": 2.2}}
    priors = full_priors(validate(changed({"priors": changes, "shift": {"cases": {"steep": None}}})).priors)
    assert list(priors) == list(NAMES)
    assert (priors["theta_E"].mean, priors["theta_E"].sd, priors["theta_E"].low) == (1.0, 0.3, 0.1)
    assert (priors["gamma"].kind, priors["gamma"].mean, priors["gamma"].low) == ("uniform", None, 1.8)


def test_a_larger_split_keeps_the_whole_chunks_of_a_smaller_one():
    small = chunks(validate(changed({"data": {"train": 12000}})), "hst_a", "train")
    large = chunks(validate(changed({"data": {"train": 27000}})), "hst_a", "train")
    assert large[: len(small)] == small and len(large) > len(small)


def test_shares_add_up_where_the_psfs_do_not_divide_the_split():
    config = validate(changed({"data": {"train": 27004, "chunk": 499}}))
    total = sum(count for psf in config.psfs for _, _, count in chunks(config, psf, "train"))
    assert total == 27004


@pytest.mark.parametrize(
    "changes",
    [
        {"shift": {"enabled": False, "left_out": "gone", "model": "gone"}},
        {"refine": {"enabled": False, "model": "gone"}, "importance": {"enabled": False}},
        {"mcmc": {"enabled": False, "model": "gone"}},
        {"ablation": {"enabled": False, "train": True, "models": {"gone": ["raw"]}}},
        {"ablation": {"train": False, "models": {"resnet": ["gone"]}}},
        {"fermat": {"enabled": False}, "scene": {"max_images": 1}},
    ],
)
def test_what_is_switched_off_is_not_checked(changes):
    assert validate(changed(changes))
