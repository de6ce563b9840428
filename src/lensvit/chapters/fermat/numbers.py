"""The chapter's part of numbers.json: time delays and H0."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lensvit.chapters.quoting import Numbers


class DelayMethod(Numbers):
    """What one method's systems say of H0; null where there is nothing to say.

    Errors and uncertainties are of ln H0, and so relative ones of H0.
    """

    key: str = Field(description='key of the model, or "prior", "refined", "importance", "mcmc" or "limit"')
    treatment: Literal["prediction", "images", "pixels"] = Field(
        description="prediction: the draws alone; images: with the positions of the images; pixels: from all pixels"
    )
    label: str = Field(description="as printed")
    systems: int = Field(description="systems with a delay")
    used: int = Field(description="systems with few enough unphysical draws")
    unphysical: float | None = Field(description="share of draws without a lens or with the delay reversed")
    error: float | None = Field(description="median absolute error of a system")
    error_spread: float | None = Field(description="its standard error")
    z: float | None = Field(description="root mean square of error / sigma")
    z_spread: float | None = Field(description="its standard error")
    combined: float | None = Field(description="weighted mean error of all systems")
    predicted: float | None = Field(description="standard error of `combined` by the sigmas")
    observed: float | None = Field(description="standard error of `combined` by the scatter of the systems")
    tension: float | None = Field(description="`combined` over `observed`")
    lenses: int | None = Field(description="lenses that the goal takes, by the sigmas")
    lenses_observed: int | None = Field(description="lenses that the goal takes, by the scatter")
    sigma: float | None = Field(description="median predicted uncertainty of a system")
    share_gamma: float | None = Field(description="median share of the variance that goes with the slope")
    share_theta_E: float | None = Field(  # noqa: N815 (lenstronomy's name of the parameter)
        description="median share of the variance that goes with the Einstein radius"
    )
    sigma_gamma: float | None = Field(description="median uncertainty if only the slope varies")
    sigma_theta_E: float | None = Field(  # noqa: N815 (lenstronomy's name of the parameter)
        description="median uncertainty if only the Einstein radius varies"
    )
    sigma_shear: float | None = Field(description="median uncertainty if only the external shear varies")
    biased: bool = Field(description="whether `combined` is clearly off zero, by its observed standard error")
    out_of_reach: bool = Field(description="whether it is clearly farther off zero than the goal")
    honest: bool | None = Field(
        description="whether errors are about as large as the sigmas; null without errors, or where they are not and "
        "not clearly so"
    )


class DelayNetwork(Numbers):
    """One network, alone and with the positions of the images."""

    label: str = Field(description="the model, as printed")
    alone: DelayMethod = Field(description="its draws alone")
    images: DelayMethod = Field(description="its draws with the positions of the images")
    over_prior: float | None = Field(
        description="sigma of the priors over the network's, both with the positions; null: one of them has none"
    )
    over_pixels: float | None = Field(
        description="the network's sigma with the positions over that of all pixels; null: one of them has none"
    )


class FermatNumbers(Numbers):
    """What the errors of lenses mean for H0."""

    goal: float = Field(description="relative uncertainty of H0 that the number of lenses is for")
    astrometry: float = Field(description="error of each coordinate of an image's position [arcsec]")
    draws: int = Field(description="most draws of each method and system")
    draw_error: float = Field(description="relative error of a sigma of Gaussian draws that are so many")
    systems: int = Field(description="test systems with a delay")
    central: float = Field(description="share of the systems between the ends of the bars in figure 6")
    most_unphysical: float = Field(description="share of unphysical draws above which a system is not used")
    honest: float = Field(description="factor between errors and sigmas up to which sigmas are honest")
    methods: list[DelayMethod] = Field(description="one a method and treatment")
    networks: list[DelayNetwork] = Field(description="one a network")
    prior: DelayMethod | None = Field(description="the priors with the positions of the images; null: not computed")
    pixels: list[DelayMethod] = Field(description="posteriors of all pixels that have systems to use; may be empty")
    sharpest: str | None = Field(description="label of those of them that networks are held against; null: none")


class Part(Numbers):
    """What the chapter gives to numbers.json."""

    fermat: FermatNumbers = Field(description="time delays and H0")
