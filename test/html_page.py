"""Reads an HTML page as a browser would, to see what it would fetch and whether tags close."""

from __future__ import annotations

import re
from html.parser import HTMLParser

VOID = {"meta", "img", "br", "hr", "link", "input", "path", "use"}
# Attributes whose value a browser fetches without being asked.
FETCHED = {"src", "srcset", "poster", "data", "background", "action", "formaction", "manifest"}
FETCHED_HREF = {"link", "use", "image", "script", "base", "pattern", "textpath"}


class PageReader(HTMLParser):
    """What a page holds.

    Attributes:
        fetched: values of all attributes that a browser would load from.
        tags: names of all opened tags.
        styles: text of style elements and attributes.
        text: everything that is read.
        ids: values of ``id``.
        links: values of ``href`` of anchors.
        targets: ids that shapes of a drawing refer to.
    """

    def __init__(self, page: str) -> None:
        super().__init__()
        self.fetched, self.tags, self.ids, self.links, self.targets = [], [], [], [], []
        self.styles, self.text = "", ""
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert self._open == [], f"never closed: {self._open}"

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        for name, value in attributes:
            value = value or ""
            self.targets += re.findall(r"url\(#([^)]+)\)", value)
            self.targets += [value[1:]] if tag == "use" and name.endswith("href") else []
            name = name.removeprefix("xlink:")
            if name in FETCHED or (name == "href" and tag in FETCHED_HREF):
                self.fetched.append(value)
            elif name == "href":
                self.links.append(value)
            elif name == "style":
                self.styles += value + "\n"
            elif name == "id":
                self.ids.append(value)
            assert not name.startswith("on"), f"a script in {name} of {tag}"
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self._open.pop()

    def handle_endtag(self, tag):
        if tag in VOID:
            return
        assert self._open, f"{tag} is closed but was never opened"
        assert self._open.pop() == tag, f"{tag} is closed out of order"

    def handle_data(self, data):
        if self._open and self._open[-1] == "style":
            self.styles += data
        else:
            self.text += data


def assert_self_contained(page: str) -> PageReader:
    """Fail if a browser would fetch anything or run anything for this page."""
    reader = PageReader(page)
    remote = [one for one in reader.fetched if not one.startswith(("data:image/", "#"))]
    assert remote == [], f"the page would load {remote}"
    assert not {"script", "link", "iframe", "object", "embed", "base"} & set(reader.tags)
    assert "@import" not in reader.styles
    for target in reader.styles.split("url(")[1:]:
        assert target.startswith("#"), f"a style would load {target[:40]}"
    assert len(reader.ids) == len(set(reader.ids)), "ids must be unique"
    assert set(reader.targets) <= set(reader.ids), "a drawing refers to what is not there"
    for link in reader.links:
        assert link.removeprefix("#") in reader.ids, f"{link} leads nowhere"
    assert "default-src 'none'" in page
    return reader
