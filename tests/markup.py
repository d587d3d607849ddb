"""Markup as a browser's parser sees it: its text, its tags, its attributes."""

from html.parser import HTMLParser


class Reader(HTMLParser):
    """`text`, and per start tag `tags` and `attributes`, in order."""

    def __init__(self, markup: str):
        super().__init__()
        self.text, self.tags, self.attributes = "", [], []
        self.feed(str(markup))  # plain text: a Markup would escape what the parser has just unescaped
        self.close()

    def handle_data(self, data):
        self.text += data

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes.append(dict(attrs))
