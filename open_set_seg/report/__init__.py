"""Reports as one HTML file each: nothing loaded, nothing run; for desks, phones, dark rooms, print.

A page is plain data (``Page`` of ``Section`` of blocks). ``save_page`` writes it; ``draw_lines``,
``draw_steps``, ``draw_traces`` and ``draw_strips`` make the charts. Needs the ``report`` extra
(matplotlib and Jinja2), which is imported only when something is drawn or written.
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
    Row,
    Section,
    Table,
    Text,
)
from open_set_seg.report.page import render_page, save_page
from open_set_seg.report.pictures import Card, Cards, Picture, Pictures
from open_set_seg.report.timelines import Trace, draw_strips, draw_traces

__all__ = [
    "Axis",
    "Block",
    "Card",
    "Cards",
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
    "Trace",
    "draw_lines",
    "draw_steps",
    "draw_strips",
    "draw_traces",
    "render_page",
    "save_page",
]
