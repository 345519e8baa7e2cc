"""How every picture looks, and how it is written: the same bytes for the same content.

Colours are for colour-blind readers too: Okabe and Ito's for lines and marks, Paul Tol's
"muted" for classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image

from dyncp.files import replacing

WIDTH_PIXELS = 1200
"""Of every picture."""
DPI = 150
BLACK, ORANGE, BLUE, VERMILLION = "#000000", "#E69F00", "#0072B2", "#D55E00"
GREEN, PURPLE = "#009E73", "#CC79A7"
GREY, LIGHT = "#777777", "#E4E4E4"
CLASS_COLOURS = (
    "#332288", "#CC6677", "#DDCC77", "#117733", "#88CCEE",
    "#882255", "#44AA99", "#999933", "#AA4499", "#555555",
)  # fmt: skip
_MARKERS = "o^sD"
_COLOURS = 192
"""In a file's palette: more can hardly be told apart, and cost bytes."""
_STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.titlepad": 4.0,
    "axes.labelsize": 8.5,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 3.0,
    "ytick.major.size": 3.0,
    "legend.fontsize": 8,
    "legend.frameon": False,
}


@contextmanager
def picture(path: Path, height: float) -> Iterator[Figure]:
    """A figure of ``height`` inches to draw on; written to ``path`` where nothing raised.

    Raises :class:`dyncp.errors.UserError` where ``path`` cannot be written.
    """
    # A matplotlibrc of the user's would change the picture.
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)  # type: ignore[arg-type]
        figure = Figure(figsize=(WIDTH_PIXELS / DPI, height), dpi=DPI)
        FigureCanvasAgg(figure)
        yield figure
        drawn = BytesIO()
        figure.savefig(drawn, format="png", facecolor="white")
    image = Image.open(drawn).convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE)
    with replacing(path) as temporary:
        image.save(temporary, format="PNG", optimize=True)


def class_colour(index: int) -> str:
    """The colour of a class; after ten they begin again."""
    return CLASS_COLOURS[index % len(CLASS_COLOURS)]


def class_marker(index: int) -> str:
    """The marker of a class: classes that share a colour differ in it."""
    return _MARKERS[index // len(CLASS_COLOURS) % len(_MARKERS)]


def ink_on(colour: str) -> str:
    """Black or white, whichever reads better on a colour."""
    red, green, blue = to_rgb(colour)
    return BLACK if 0.3 * red + 0.59 * green + 0.11 * blue > 0.55 else "white"


def bare(axes: Axes, sides: Sequence[str] = ("left", "bottom", "top", "right")) -> None:
    """Take away spines, and the ticks at the left and the bottom that go with them."""
    axes.spines[list(sides)].set_visible(False)
    axes.tick_params(
        left="left" not in sides, bottom="bottom" not in sides, labelbottom="bottom" not in sides
    )
