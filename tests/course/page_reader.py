"""Reads a page as a browser would: its elements, and the data in it."""

import json
from html.parser import HTMLParser

VOID = {"meta", "br", "input", "link", "img", "hr"}


class Page(HTMLParser):
    """``elements`` are (tag, attributes); a tag that is not closed is refused."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements, self.open, self.texts = [], [], []
        self.feed(text)
        self.close()
        assert not self.open, self.open
        (data,) = (t for path, t in self.texts if path[-1] == ("script", "data"))
        self.data = json.loads(data)
        self.demos = {demo["name"]: demo for demo in self.data["demos"]}

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        assert len(found) == len(attributes), attributes
        self.elements.append((tag, found))
        if tag not in VOID:
            self.open.append((tag, found.get("id")))

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open, tag
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        if self.open:
            self.texts.append((tuple(self.open), data))

    def all(self, tag):
        return [found for name, found in self.elements if name == tag]

    def by_id(self, name):
        (found,) = (found for _, found in self.elements if found.get("id") == name)
        return found
