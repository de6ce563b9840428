"""The chapter's part of numbers.json: tests of the predictions, and what a full covariance gains."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lensvit.chapters.quoting import LabelledTarget, Measured, Numbers

Verdict = Literal["passes", "fails", "too few"]
Effect = Literal["better", "worse", "none"]


class TooFew(Numbers):
    """Whether a state of the predictions has no verdict, because there are too few systems or draws."""

    predicted: bool = Field(description="as predicted")
    recalibrated: bool = Field(description="with sigmas times their factors")


class PriorScores(Numbers):
    """Relative scores of a prediction that knows a Gaussian prior and nothing else."""

    crps: float = Field(description="continuous ranked probability score, in units of the prior's sigma")
    nll: float = Field(description="negative log-likelihood of a target [nat]")
    joint_nll: float = Field(description="negative log-likelihood of all targets together [nat]")


class SigmaFactor(Measured, LabelledTarget):
    """The factor on the sigma of one target."""


class CalibrationState(Numbers):
    """One model's predictions, as they are or recalibrated."""

    z_sd: float = Field(description="standard deviation of (truth - mean) / sigma over all targets")
    z_sd_error: float = Field(description="standard error of z_sd")
    sigmas: Literal["small", "large", "right"] = Field(
        description="small if z_sd is clearly above one, large if it is clearly below, else right"
    )
    coverage_68: float = Field(description="share of truths in the central 68% interval, mean over targets")
    coverage_95: float = Field(description="share of truths in the central 95% interval, mean over targets")
    coverage_68_error: float = Field(description="standard error of coverage_68")
    coverage_95_error: float = Field(description="standard error of coverage_95")
    crps: float = Field(description="continuous ranked probability score, mean over targets in units of their scatter")
    crps_error: float = Field(description="standard error of crps")
    nll: float = Field(description="relative negative log-likelihood, mean over targets [nat]")
    nll_error: float = Field(description="standard error of nll [nat]")
    off: list[LabelledTarget] = Field(description="targets that fail the test of their PIT values")
    marginal: Verdict = Field(description="passes or fails, by the targets one by one; or too few systems or draws")
    joint: Verdict = Field(description="passes or fails, by TARP on all targets together; or too few systems or draws")
    joint_p: float = Field(description="p-value of TARP")
    joint_nll: float | None = Field(
        description="relative negative log-likelihood of all targets together [nat]; null with too few draws"
    )
    joint_nll_error: float | None = Field(description="standard error of joint_nll [nat]")


class PriorBound(LabelledTarget):
    """A bound of a target's prior on which many truths lie exactly, and what a model makes of it."""

    value: float = Field(description="the bound, in the unit")
    unit: str = Field(description='unit of the target; "" for none')
    is_floor: bool = Field(description="whether it is the floor of the prior; else its ceiling")
    there: float = Field(description="share of the test systems that lie on it")
    beyond: float = Field(description="share of the test systems whose mean is predicted beyond it")
    near: float = Field(description="share of those whose mean lies beyond it or within one sigma of it")
    covered: float = Field(description="coverage of the central 68% interval for the systems on the bound")
    covered_error: float | None = Field(description="its standard error")
    covered_elsewhere: float = Field(description="the same for all others")
    covered_elsewhere_error: float | None = Field(description="its standard error; null: one system")


class CalibrationModel(Numbers):
    """The calibration of one model."""

    key: str = Field(description="key in the config")
    label: str = Field(description="as printed")
    aleatoric_share: float = Field(description="aleatoric share of the predicted variance, mean over targets")
    epistemic_share: float = Field(description="epistemic share of the predicted variance, mean over targets")
    least: SigmaFactor = Field(description="target with the smallest factor on sigma")
    most: SigmaFactor = Field(description="target with the largest factor on sigma")
    predicted: CalibrationState = Field(description="as predicted")
    recalibrated: CalibrationState = Field(description="with sigmas times their factors")
    change: float = Field(description="change of the mean relative negative log-likelihood by the recalibration [nat]")
    change_error: float = Field(description="standard error of the change [nat]")
    effect: Effect = Field(description="clearly better or worse; none: the change is not clear")
    bounds: list[PriorBound] = Field(description="bounds of priors on which many truths lie, as predicted")


class Calibration(Numbers):
    """The calibration of all models."""

    systems: int = Field(description="test systems")
    draws: int = Field(description="draws of each test system")
    validation_systems: int = Field(description="validation systems, from which the factors on sigma come")
    validation_draws: int = Field(description="draws of each validation system")
    effective_systems: int = Field(
        description="test systems that a test of recalibrated predictions is worth, since the factors are uncertain"
    )
    too_few: TooFew = Field(description="whether there is no verdict, by state of the predictions")
    few_systems: int = Field(description="fewer systems are too few for a verdict")
    few_draws: int = Field(description="fewer draws are too few for a verdict")
    significance: float = Field(description="share of calibrated models that a test fails")
    band: float = Field(description="share of calibrated models inside a band of figure 4, at each level")
    levels: list[float] = Field(description="the smallest and the largest level of the intervals in figure 4")
    intervals: list[float] = Field(description="levels of coverage_68 and coverage_95")
    least_p: float = Field(description="smaller p-values are printed as smaller than this")
    prior: PriorScores = Field(description="scores of who knows the prior alone")
    distance: float = Field(description="standard errors by which z_sd differs from one if it fails")
    models: list[CalibrationModel] = Field(description="one a model")


class ModelName(Numbers):
    """A model by key and label."""

    key: str = Field(description="key in the config")
    label: str = Field(description="as printed")


class ScoreChange(Numbers):
    """A score, small if good, of a full and of a diagonal covariance."""

    full: float = Field(description="score of the full covariance")
    diagonal: float = Field(description="score of the diagonal covariance")
    change: float = Field(description="full minus diagonal")
    error: float = Field(description="paired standard error of the change, from the finite test set")
    effect: Effect = Field(description="clearly better or worse; none: the change is not clear")


class CovarianceState(Numbers):
    """Scores of a pair of models, as predicted or recalibrated."""

    nll: ScoreChange | None = Field(
        description="relative negative log-likelihood of all targets together [nat]; null with too few draws"
    )
    miscoverage: ScoreChange = Field(description="mean distance of TARP's coverage from its level")


class CovariancePair(Numbers):
    """Two models that differ in nothing but their covariance."""

    full: ModelName = Field(description="the one with the full covariance")
    diagonal: ModelName = Field(description="the one with the diagonal covariance")
    systems: int = Field(description="test systems")
    expected: float = Field(description="miscoverage of a calibrated model with so many systems")
    predicted: CovarianceState = Field(description="as predicted")
    recalibrated: CovarianceState = Field(description="with sigmas times their factors")


class Part(Numbers):
    """What the chapter gives to numbers.json."""

    calibration: Calibration = Field(description="how honest the predicted uncertainties are")
    posteriors: list[CovariancePair] = Field(
        description="one a pair of models that differ in nothing but a full and a diagonal covariance; mostly none"
    )
