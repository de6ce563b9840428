"""Inputs are standardised pixel by pixel, over all training images or over those of a camera or of a PSF."""

import pytest
import torch

from lensvit.errors import LensvitError
from lensvit.learning.pixel_norm import ALL, PixelNorm, divided_state, group_names, joined_state, members

CAMERAS = {"hst_a": "120 x 0.05 arcsec", "hst_b": "120 x 0.05 arcsec", "keck_a": "300 x 0.02 arcsec"}
PSFS = ["keck_a", "hst_a", "hst_b", "hst_a"]


def test_pixels_are_standardised_by_their_own_scatter():
    images = torch.randn(500, 3, 8, 8) * torch.linspace(0.5, 9, 8) + 7
    norm, first = PixelNorm(8), torch.zeros(500, dtype=torch.long)
    norm.fit(ALL, images)
    assert torch.allclose(norm(images, first).mean(0), torch.zeros(3, 8, 8), atol=0.02)
    assert torch.allclose(norm(images, first).std(0), torch.ones(3, 8, 8), atol=0.02)
    assert norm(images + 1e6, first).max() == PixelNorm.LIMIT
    norm.fit(ALL, torch.ones(4, 3, 8, 8))  # pixels that never change
    assert torch.isfinite(norm(images, first)).all()


def test_who_has_statistics_of_its_own():
    assert group_names("none", CAMERAS) == []
    assert group_names("pixel", CAMERAS) == [ALL]
    assert group_names("camera", CAMERAS) == ["120 x 0.05 arcsec", "300 x 0.02 arcsec"]
    assert group_names("psf", CAMERAS) == ["hst_a", "hst_b", "keck_a", "120 x 0.05 arcsec", "300 x 0.02 arcsec"]
    assert members("hst_a", PSFS, CAMERAS).tolist() == [1, 3]
    assert members("120 x 0.05 arcsec", PSFS, CAMERAS).tolist() == [1, 2, 3]
    assert members(ALL, PSFS, CAMERAS).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("normalise", "expected"), [("pixel", [0, 0, 0, 0]), ("camera", [1, 0, 0, 0]), ("psf", [2, 0, 1, 0])]
)
def test_an_image_is_normalised_by_its_own_group(normalise, expected):
    norm = PixelNorm(4, group_names(normalise, CAMERAS))
    groups = norm.groups(PSFS, CAMERAS)
    assert groups.tolist() == expected
    for number, name in enumerate(norm.names):
        norm.fit(name, torch.randn(50, 3, 4, 4) * (number + 1) + 10 * number)
    images = torch.stack([norm.mean[group] + norm.sd[group] for group in expected])
    assert torch.allclose(norm(images, groups), torch.ones(4, 3, 4, 4), atol=1e-4)


def test_a_psf_that_was_not_trained_is_taken_as_its_camera_s():
    norm = PixelNorm(4, group_names("psf", CAMERAS))
    new = {"keck_c": "300 x 0.02 arcsec"}
    assert [norm.names[group] for group in norm.groups(["keck_c"], new)] == ["300 x 0.02 arcsec"]
    with pytest.raises(LensvitError, match=r"those of jwst \(90 x 0.03 arcsec\)"):
        norm.groups(["jwst"], {"jwst": "90 x 0.03 arcsec"})


def test_one_group_of_all_takes_psfs_that_its_sample_lacks():
    assert PixelNorm(4).groups(["rare", "hst_a", "rare"], {"hst_a": "120 x 0.05 arcsec"}).tolist() == [0, 0, 0]


def test_statistics_lie_beside_the_weights_and_those_of_older_files_are_read():
    network, norm = torch.nn.Linear(2, 1), PixelNorm(4, group_names("camera", CAMERAS))
    norm.fit(norm.names[1], torch.randn(9, 3, 4, 4))
    state = joined_state(network, norm)
    again = PixelNorm(4, norm.names)
    assert divided_state(state, again).keys() == network.state_dict().keys()
    assert torch.equal(again.mean, norm.mean) and torch.equal(again.sd, norm.sd)
    old, one = {"norm.mean": norm.mean[1], "norm.sd": norm.sd[1], "network.weight": network.weight}, PixelNorm(4)
    assert list(divided_state(old, one)) == ["weight"]
    assert torch.equal(one.mean[0], norm.mean[1]) and torch.equal(one.sd[0], norm.sd[1])
    with pytest.raises(RuntimeError, match="size mismatch"):
        divided_state(state, one)
