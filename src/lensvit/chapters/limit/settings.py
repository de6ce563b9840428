"""Settings of the limit of information."""

from __future__ import annotations

from pydantic import Field

from lensvit.io.settings import Settings
from lensvit.learning.settings import ImageSize, Resize
from lensvit.lensing.settings import LensModel


def input_key(resize: str, image_size: int) -> str:
    """The name of an input in columns of limit.parquet."""
    return f"{resize}{image_size}"


class InputGrid(Settings):
    """What a network sees of an image: its own pixels."""

    image_size: ImageSize
    resize: Resize

    @property
    def key(self) -> str:
        """Its name in columns."""
        return input_key(self.resize, self.image_size)


class LimitStage(LensModel):
    """Settings of the stage ``limit``."""

    inputs: list[InputGrid] = Field(description="inputs of networks, for which there is a limit too")
