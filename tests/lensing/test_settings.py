"""What is known of the lenses of a run by its settings."""

from lensvit.lensing.settings import Population
from lensvit.parameters import NAMES, Prior, priors


def test_a_shear_that_lenses_do_not_have_is_known_to_be_0():
    changes = {"theta_E": {"mean": 1.0}, "gamma_ext": {"low": 0.01}}
    with_shear, without = (
        Population.model_validate({"priors": changes, "external_shear": shear}).known for shear in (True, False)
    )
    assert list(without) == list(NAMES)
    assert with_shear == priors(changes)
    assert without == with_shear | {"gamma_ext": Prior("uniform", low=0.0, high=0.0)}
