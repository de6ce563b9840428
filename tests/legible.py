"""What every figure keeps to: text that can be read in print, colours that the colour-blind tell apart, one width."""

from matplotlib.collections import QuadMesh
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.text import Text

from lensvit.figures import style

OKABE_ITO = {"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#f0e442"}
MAPS = {"gray", "magma", "inferno", "viridis", "cividis", "PuOr_r", "RdBu_r"}  # even in lightness, or diverging


def faults(figure: Figure) -> list[str]:
    """What falls short in a figure that was drawn, or an empty list."""
    found = [] if figure.get_figwidth() == style.WIDTH else [f"{figure.get_figwidth()} inches wide"]
    for text in figure.findobj(Text):
        if not (text.get_visible() and text.get_text().strip()):
            continue
        if text.get_fontsize() < style.SMALL:
            found.append(f"{text.get_text()!r} has {text.get_fontsize()} points")
        if text.get_fontfamily() != ["STIXGeneral"]:
            found.append(f"{text.get_text()!r} is set in {text.get_fontfamily()}")
    found += [f"a line of {to_hex(line.get_color())}" for line in figure.findobj(Line2D) if not _is_told(line)]
    for picture in figure.findobj(lambda artist: isinstance(artist, AxesImage | QuadMesh)):
        if picture.get_array().ndim < 3 and picture.get_cmap().name not in MAPS:
            found.append(f"an image in {picture.get_cmap().name}")
    return found


def _is_told(line: Line2D) -> bool:
    color = to_hex(line.get_color())
    return color in OKABE_ITO or color[1:3] == color[3:5] == color[5:7]
