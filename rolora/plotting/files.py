"""From a figure to its files: CSV, PDF, PNG and caption, the same bytes every time."""

import io

from rolora.plotting import tidy
from rolora.plotting.figure import Drawing, Figure
from rolora.plotting.look import page
from rolora.plotting.style import WIDTH
from verification.finding import Table

PNG_DPI = 200


def files(figure: Figure, csv: str) -> dict[str, bytes]:
    """Everything the figure writes, by file name; ValueError if the text is not the table of this figure.

    The drawing sees only what the CSV text holds, so that redrawing it later gives the same bytes.
    """
    table = tidy.from_csv(csv)
    try:
        pictures = _pictures(figure, table)
        caption = figure.caption(table)
    except KeyError as error:
        raise ValueError(
            f"{figure.name}.csv must have the columns of this figure, it lacks {error}"
        ) from error
    return {
        f"{figure.name}.csv": csv.encode(),
        f"{figure.name}.pdf": pictures["pdf"],
        f"{figure.name}.png": pictures["png"],
        f"{figure.name}.caption.md": (caption.strip() + "\n").encode(),
    }


def _pictures(figure: Figure, table: Table) -> dict[str, bytes]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    # Nothing that varies from run to run: no dates, no program versions.
    metadata = {
        "pdf": {"CreationDate": None, "Producer": None, "Creator": None, "Title": figure.title},
        "png": {"Software": None, "Title": figure.title},
    }
    pictures = {}
    with page(figure.name):
        drawing = Drawing(figsize=(WIDTH, figure.height))
        FigureCanvasAgg(drawing)
        figure.draw(table, drawing)
        for kind, facts in metadata.items():
            buffer = io.BytesIO()
            # bbox_inches stays None: "tight" would change the page's width.
            drawing.savefig(buffer, format=kind, dpi=PNG_DPI, metadata=facts)
            pictures[kind] = buffer.getvalue()
    return pictures
