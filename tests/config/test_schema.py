"""What a run says of itself: its networks, chunks, priors, and what is checked where it is switched on."""

import pytest

from lensvit.config.run import validate
from lensvit.config.schema import chunks
from lensvit.errors import LensvitError
from lensvit.lensing.settings import full_priors
from lensvit.parameters import NAMES
from tests.config.configs import ablation, changed, content


def test_a_model_cannot_be_called_as_another_column_of_the_table():
    merged = content()
    merged["models"]["prior"] = {**merged["models"]["resnet"], "label": "Other"}
    with pytest.raises(LensvitError, match=r"models\.prior: .*another column"):
        validate(merged)


@pytest.mark.parametrize("off", [{"enabled": False}, {"train": False}])
def test_an_ablation_that_is_not_trained_has_no_networks(off):
    assert list(ablation(**off).networks) == ["vit", "resnet"]


def test_a_wrong_change_of_a_variant_is_named():
    with pytest.raises(LensvitError, match=r"models\.resnet-raw-1\.changes\.stretch.*'rough'"):
        ablation(variants={"raw": {"label": "raw", "changes": {"stretch": "rough"}}})


def test_a_prior_changes_by_field_or_as_a_whole():
    changes = {"theta_E": {"mean": 1.0}, "gamma": {"kind": "uniform", "low": 1.8, "high": 2.2}}
    priors = full_priors(validate(changed({"priors": changes})).priors)
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


def test_what_is_switched_off_is_not_checked():
    merged = changed({"shift": {"enabled": False, "left_out": "gone", "model": "gone"}})
    assert not validate(merged).shift.enabled
