"""A trained network for images of any camera: ``lensvit.load(folder).predict(images)``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from lensvit.errors import LensvitError
from lensvit.io import files
from lensvit.jobs.fabric import arithmetic, launch
from lensvit.learning.architectures import Trained, load_network, memory_format
from lensvit.learning.pixel_norm import PixelNorm
from lensvit.learning.preprocessing import brightness_factor, stretch, to_input_scale
from lensvit.learning.settings import EvaluateSettings, TrainedModel
from lensvit.lensing.settings import LabelledCamera
from lensvit.observations.reading import Given, Plain, plain_of_array, read_plain
from lensvit.observations.start import Guess
from lensvit.parameters import TABLE, TARGET_NAMES
from lensvit.prediction.cutouts import Cutout
from lensvit.prediction.passes import Looks, ask, look, scores
from lensvit.prediction.reference import SCORES, Known, read_reference

MASS = ("theta_E", "gamma", "center_x", "center_y", "e1", "e2")  # the first targets
CENTER = [TARGET_NAMES.index(name) for name in ("center_x", "center_y")]
CENTERINGS = 6  # looks by which a lens is brought to the middle
NEAR = 0.5  # step of the middle below which it stays, in the camera's pixels
OFF = 0.1  # what a lens off the middle by a standard deviation counts for beside the distance of features
FARTHEST = 0.3  # farthest place of the middle, in units of the image's side
SMALLEST = 0.4  # least side of an image in units of the camera's, without a word
OTHER_SCALE = 1.5  # ratio of pixel scales from which on it is spoken of
LOUD, QUIET = 1.5, 0.5  # noise in units of the training's range beyond which it is spoken of
PASSES = 20

Image = np.ndarray | str | Path


@dataclass(frozen=True)
class Predictions:
    """What a network says of n images.

    Parameters
    ----------
    table
        A row for each image: ``name``; ``x`` and ``y``, where the middle of the network's image lies from that of the
        whole image [arcsec]; ``{target}_mean`` and ``{target}_sigma`` in the target's unit, calibrated; the scores
        ``distance``, ``epistemic``, ``predicted`` and ``clipped``, each in units of its threshold; ``warned``, whether
        one of them lies above 1 or the image is otherwise unlike the training's; ``verdict``, why, empty if it is not.
    covariance
        Calibrated covariances (n, K, K) of the targets.
    notes
        What was found in the files and changed, in sentences.
    """

    table: pd.DataFrame
    covariance: np.ndarray
    notes: tuple[str, ...] = ()

    def guess(self, name: str) -> Guess:
        """What is thought of the mass of one of the lenses, for a fit that starts from it."""
        row = int(np.flatnonzero(self.table["name"] == name)[0])
        mean = self.table.iloc[row][[f"{target}_mean" for target in MASS]].to_numpy(dtype=float)
        return Guess(mean, self.covariance[row][: len(MASS), : len(MASS)])

    def write(self, output: Path) -> None:
        """Write predictions.csv and .parquet (the table) and predictions_covariance.csv into a folder."""
        folder = Path(output)
        folder.mkdir(parents=True, exist_ok=True)
        files.write_text(folder / "predictions.csv", self.table.to_csv(index=False, float_format="%.6g"))
        with files.atomic(folder / "predictions.parquet") as temporary:
            self.table.to_parquet(temporary, index=False)
        pairs = [(i, j) for i in range(len(TARGET_NAMES)) for j in range(i + 1)]
        columns = {f"{TARGET_NAMES[i]}_{TARGET_NAMES[j]}": self.covariance[:, i, j] for i, j in pairs}
        named = pd.DataFrame({"name": self.table["name"], **columns})
        files.write_text(folder / "predictions_covariance.csv", named.to_csv(index=False, float_format="%.6g"))


class _Inputs:
    """Inputs of cutouts, prepared as those of the training, see :class:`lensvit.learning.evaluate.NetworkInputs`."""

    def __init__(self, images: Tensor, trained: Trained, camera: str, device: str) -> None:
        self.images, self.recipe, self.norm, self.device = images, trained.config.recipe, trained.norm, device
        self.group = torch.zeros(1, dtype=torch.long)
        if self.norm is not None:
            self.group = self.norm.groups(["another"], {"another": camera})

    def __len__(self) -> int:
        return len(self.images)

    def batch(self, rows: Tensor) -> Tensor:
        """The inputs (B, 3, S, S) of the images ``rows`` (B,)."""
        shown = stretch(self.images[rows].to(self.device), self.recipe.stretch, self.recipe.unit)
        if self.norm is None:
            return shown
        return self.norm.to(self.device)(shown, self.group.expand(len(rows)).to(self.device))


class Network:
    """A trained network.

    Parameters
    ----------
    folder
        models/{model}/ of a run, with its reference.

    Raises
    ------
    LensvitError
        If a file is absent or broken.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self.known: Known = read_reference(self.folder)
        self.trained: Trained = load_network(self.folder)
        if self.config.targets != list(TARGET_NAMES):
            raise LensvitError(f"{folder} predicts other targets than this version: {', '.join(self.config.targets)}")

    @property
    def config(self) -> TrainedModel:
        """What config.json says."""
        return self.trained.config

    def predict(
        self,
        images: Image | Sequence[Image],
        *,
        pixel_scale: float | None = None,
        names: Sequence[str] | None = None,
        passes: int = PASSES,
        seed: int = 0,
        device: str = "cpu",
        **given: Any,
    ) -> Predictions:
        """Predict the parameters of lenses.

        Parameters
        ----------
        images
            Images [counts/s per pixel], an array (ny, nx), a cube (n, ny, nx) or a list of arrays; or paths of FITS or
            HDF5 files, each with one image or a cube.
        pixel_scale
            Side of a pixel [arcsec]; for arrays it must be given, for files where the header does not say it.
        names
            Names of the images; those of the files, or their numbers, by default.
        passes
            Passes of Monte-Carlo dropout over each image, 4 or more.
        seed
            Seed of the dropout. An image's numbers do not depend on those beside it.
        device
            "cpu" or "gpu".
        **given
            For files what they do not say: ``exposure_time``, ``unit``, ``size`` and ``mask``, see
            :class:`lensvit.observations.reading.Given`.

        Returns
        -------
        Predictions
            Means, calibrated errors and verdicts.

        Raises
        ------
        LensvitError
            If something is missing or wrong with an image.

        Examples
        --------
        >>> network = lensvit.load("results/survey/models/resnet")  # doctest: +SKIP
        >>> network.predict(cutouts, pixel_scale=0.05).table  # doctest: +SKIP
        """
        if given or not _are_arrays(images):
            every = list(images) if isinstance(images, list | tuple) else [images]
            paths = {Path(str(one)): Given(pixel_scale=pixel_scale, **given) for one in every}
            result = self.predict_files(paths, passes, seed, device)
        else:
            if pixel_scale is None:
                raise LensvitError("images in arrays need pixel_scale [arcsec]")
            plain = _checked(images, pixel_scale)
            result = self.of(plain, [str(number) for number in range(len(plain))], passes, seed, device)
        if names is None:
            return result
        if len(names) != len(result.table):
            raise LensvitError(f"{len(names)} names for {len(result.table)} images")
        return Predictions(result.table.assign(name=list(names)), result.covariance, result.notes)

    def predict_files(self, given: Mapping[Path, Given], passes: int, seed: int, device: str) -> Predictions:
        """Predict the images of files, from each path to what the file does not say; see :meth:`predict`."""
        plain, names, notes = list[Plain](), list[str](), list[str]()
        for path, own in given.items():
            found, said = read_plain(path, own)
            names += [path.stem] if len(found) == 1 else [f"{path.stem}_{place}" for place in range(len(found))]
            plain += found
            notes += said
        result = self.of(plain, names, passes, seed, device)
        return Predictions(result.table, result.covariance, tuple(dict.fromkeys(notes)))

    def of(self, images: Sequence[Plain], names: Sequence[str], passes: int, seed: int, device: str) -> Predictions:
        """Predict checked images, see :meth:`predict`."""
        if not images:
            raise LensvitError("no image is given")
        if passes < 4:
            raise LensvitError(f"{passes} passes: give 4 or more")
        table: dict[int, pd.DataFrame] = {}
        covariance = np.zeros((len(images), len(TARGET_NAMES), len(TARGET_NAMES)))
        cameras = [self.camera(image.pixel_scale) for image in images]
        reference = self.known.reference
        settings = EvaluateSettings(
            seed=seed, passes=passes, batch_size=reference.batch_size, batch_norm=reference.batch_norm,
            precision=reference.precision, compile=False,
        )  # fmt: skip
        with launch(device, 1, arithmetic(settings.precision, device)) as fabric:
            for camera in dict.fromkeys(cameras):
                rows = [row for row, one in enumerate(cameras) if one == camera]
                cuts = [Cutout(images[row], *self._geometry(camera)) for row in rows]
                part, spread = self._of_camera(cuts, camera, settings, fabric)
                part.insert(0, "name", [names[row] for row in rows])
                covariance[rows] = spread
                table |= {row: part.iloc[[place]] for place, row in enumerate(rows)}
        return Predictions(pd.concat([table[row] for row in sorted(table)], ignore_index=True), covariance)

    def camera(self, pixel_scale: float) -> str:
        """The camera of the training whose pixels are most like those of ``pixel_scale`` [arcsec]."""
        known = self.known.reference.cameras
        return min(known, key=lambda name: abs(np.log(known[name].pixel_scale / pixel_scale)))

    def _geometry(self, camera: str) -> tuple[int, float]:
        """Side [pixel] and pixel scale [arcsec] of a camera of the training."""
        one: LabelledCamera = self.known.reference.cameras[camera]
        return one.pixels, one.pixel_scale

    def _of_camera(
        self, cuts: list[Cutout], camera: str, settings: EvaluateSettings, fabric: Any
    ) -> tuple[pd.DataFrame, np.ndarray]:
        """Table and covariances of images for one camera."""
        network, norm, config = self.trained
        network, device = network.to(fabric.device), str(fabric.device)
        network.to(memory_format=memory_format(network))
        limit = None if norm is None else PixelNorm.LIMIT
        factor = brightness_factor(config.recipe, self._geometry(camera)[1])

        def small(places: np.ndarray, which: Sequence[int]) -> Tensor:
            taken = torch.as_tensor(np.stack([cuts[row].at(places[row]) for row in which]))
            return to_input_scale(taken, config.network.image_size, config.recipe.resize, factor)

        def seen(images: Tensor) -> Looks:
            shown = _Inputs(images, self.trained, camera, device)
            return look(network, shown, limit, config.scaler, settings.batch_size)

        places, images = self._centred(cuts, small, seen)
        shown = _Inputs(images, self.trained, camera, device)
        looks = look(network, shown, limit, config.scaler, settings.batch_size)
        answers = ask(network, shown, settings, config.scaler, fabric)
        network.eval()
        reference, distance = self.known
        scale = np.array([reference.scale[name] for name in TARGET_NAMES])
        covariance = scale[:, None] * answers.covariance * scale
        sigma = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
        mean = answers.mean.copy()
        mean[:, CENTER] += places
        table = pd.DataFrame({"x": places[:, 0], "y": places[:, 1]})
        for number, name in enumerate(TARGET_NAMES):
            table[f"{name}_mean"], table[f"{name}_sigma"] = mean[:, number], sigma[:, number]
        found = scores(answers, config.scaler, distance.of(looks.features), looks.clipped)
        for name, values in found.items():
            table[name] = values / max(reference.thresholds[name], 1e-12)
        said = [self._verdict(cut, row, camera) for cut, (_, row) in zip(cuts, table.iterrows(), strict=True)]
        table["warned"], table["verdict"] = [bool(one) for one in said], [" ".join(one) for one in said]
        return table, covariance

    def _centred(
        self,
        cuts: list[Cutout],
        small: Callable[[np.ndarray, Sequence[int]], Tensor],
        seen: Callable[[Tensor], Looks],
    ) -> tuple[np.ndarray, Tensor]:
        """Where the lens is in each image (n, 2) [arcsec], as the network sees it, and inputs (n, S, S) around it.

        The network knows lenses near the middle. It looks from the middle of each image, says where the lens is, and
        looks again from there; the place counts whose features are most like the training's.
        """
        places = np.zeros((len(cuts), 2))
        best, least = places.copy(), np.full(len(cuts), np.inf)
        waiting = list(range(len(cuts)))
        chosen = torch.empty(0)
        for number in range(CENTERINGS):
            images = small(places, waiting)
            chosen = images.clone() if number == 0 else chosen
            looks = seen(images)
            distance = self.known.distance.of(looks.features)
            still = list[int]()
            for place, row in enumerate(waiting):
                step = looks.mean[place, CENTER]
                # a lens at the edge of what the training shows is farther out than the network says
                badness = distance[place] + OFF * np.hypot(*step) / self.config.scaler.sd["center_x"]
                if badness < least[row]:
                    best[row], least[row], chosen[row] = places[row], badness, images[place]
                bound = FARTHEST * 2 * cuts[row].half
                moved = (places[row] + step).clip(-bound, bound)
                if np.abs(moved - places[row]).max() > NEAR * cuts[row].pixel_scale:
                    places[row] = moved
                    still.append(row)
            waiting = still
            if not waiting:
                break
        return best, chosen

    def _verdict(self, cut: Cutout, row: pd.Series, camera: str) -> list[str]:
        """Why an image may not be like the training's, in sentences."""
        said = [f"{text[0].upper()}{text[1:]}." for name, text in SCORES.items() if row[name] > 1]
        pixels, scale = self._geometry(camera)
        low, high = self.known.reference.background
        if cut.noise > LOUD * high:
            said.append(f"Its noise of {cut.noise:.3g} counts/s a pixel is above that of the training ({high:.3g}).")
        elif cut.noise < QUIET * low:
            said.append(f"Its noise of {cut.noise:.3g} counts/s a pixel is below that of the training ({low:.3g}).")
        if max(cut.ratio, 1 / cut.ratio) > OTHER_SCALE:
            said.append(f"Its pixels are {scale / cut.ratio:.3g} arcsec wide, those of the training {scale:.3g}.")
        if 2 * cut.half < SMALLEST * pixels * scale:
            said.append(f"It shows {2 * cut.half:.2g} arcsec, images of the training {pixels * scale:.2g}.")
        return said


def load(folder: Path | str) -> Network:
    """A trained network for images of one's own.

    Parameters
    ----------
    folder
        results/{run}/models/{model} of a run whose networks were described by ``snakemake networks``, or the folder of
        a network that was adopted.

    Raises
    ------
    LensvitError
        If a file is absent or broken.
    """
    path = Path(folder)
    if not path.is_dir():
        raise LensvitError(f"{folder}: there is no such folder; give results/RUN/models/MODEL of a run")
    return Network(path)


def _are_arrays(images: Any) -> bool:
    """Whether images are arrays and no paths."""
    every = images if isinstance(images, list | tuple) else [images]
    return all(isinstance(one, np.ndarray) for one in every)


def _checked(images: Any, pixel_scale: float) -> list[Plain]:
    """Images in arrays, checked."""
    several = images if isinstance(images, list | tuple) or images.ndim == 3 else [images]
    result = list[Plain]()
    for number, one in enumerate(several):
        try:
            result.append(plain_of_array(one, pixel_scale))
        except LensvitError as error:
            raise LensvitError(f"image {number} (from 0): {error}") from error
    return result


def units() -> dict[str, str]:
    """The unit of each target, empty for none."""
    return {name: TABLE[name].unit for name in TARGET_NAMES}
