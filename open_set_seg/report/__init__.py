"""Reports as one HTML file each: nothing loaded, nothing run; for desks, phones, dark rooms, print.

A page is plain data (``Page`` of ``Section`` of blocks). ``save_page`` writes it; ``draw_lines``
and ``draw_steps`` make the charts. Needs the ``report`` extra (matplotlib and Jinja2), which is
imported only when something is drawn or written.
"""

from open_set_seg.report.charts import Axis, Mark, Series, draw_lines, draw_steps
from open_set_seg.report.content import (
    Block,
    Cell,
    Fact,
    Figure,
    Figures,
    Fold,
    Legend,
    Page,
    Picture,
    Pictures,
    Row,
    Section,
    Table,
    Text,
)
from open_set_seg.report.page import render_page, save_page

__all__ = [
    "Axis",
    "Block",
    "Cell",
    "Fact",
    "Figure",
    "Figures",
    "Fold",
    "Legend",
    "Mark",
    "Page",
    "Picture",
    "Pictures",
    "Row",
    "Section",
    "Series",
    "Table",
    "Text",
    "draw_lines",
    "draw_steps",
    "render_page",
    "save_page",
]
