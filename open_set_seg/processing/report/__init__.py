"""What a processed recording was like, as one HTML page; of many, with an index.

``write_report(folder)`` makes ``report.html`` of the files that ``process_recording`` wrote;
``write_index(output)`` makes ``index.html`` over all processed recordings of a folder.
"""

from open_set_seg.processing.report.digest import Digest, digest_records
from open_set_seg.processing.report.events import Event, find_events
from open_set_seg.processing.report.index import write_index
from open_set_seg.processing.report.page import Material, report_page, write_report

__all__ = [
    "Digest",
    "Event",
    "Material",
    "digest_records",
    "find_events",
    "report_page",
    "write_index",
    "write_report",
]
