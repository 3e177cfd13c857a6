"""Model output as HTML that can do nothing.

Model output is hostile: it may carry scripts, and a picture fetched from elsewhere would tell its host
which answer is being looked at. Markdown is rendered with raw HTML disabled, the outcome goes through an
allow-list, links open apart and show where they lead, and pictures become placeholders.
"""

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any
from urllib.parse import urlsplit

import nh3
from markdown_it import MarkdownIt
from markdown_it.token import Token
from markdown_it.utils import OptionsDict

from palate.types import digest
from palate.web._limits import LIMITS
from palate.web._words import Words

__all__ = ["Renderer"]

FORMATTED = 60_000  # characters beyond which formatting costs a reader more time than it saves
SHOWN = LIMITS.answer  # characters beyond which browsers stop scrolling smoothly
KEPT = 64  # rendered texts: the three duels of a few open pages, both sides, several times over

TEXT_TAGS = {"p", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "strong", "em", "s", "del", "a", "span"}
BLOCK_TAGS = {"code", "pre", "blockquote", "ul", "ol", "li", "table", "thead", "tbody", "tr", "th", "td"}
ATTRIBUTES = {
    "a": {"href", "title", "data-host"},
    "span": {"class"},
    "p": {"class"},
    "pre": {"class"},
    "ol": {"start"},
    "th": {"align"},
    "td": {"align"},
}
CLASSES = {"picture", "plain", "note"}
SCHEMES = {"http", "https", "mailto"}


def _allowed(tag: str, attribute: str, value: str) -> str | None:
    """Let an attribute's value through, or drop the attribute."""
    if attribute == "href" and not value.lower().startswith(("http://", "https://", "mailto:")):
        return None
    if attribute == "class" and value not in CLASSES:
        return None
    return value


def _valid_link(url: str) -> bool:
    """What fails stays visible as the plain text that was written; pictures pass the same check."""
    return len(url) < 4_000 and url.lower().startswith(("http://", "https://", "mailto:"))


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or urlsplit(url).path.rpartition("@")[2]
    except ValueError:
        return ""


class Renderer:
    """Turns text into safe HTML, and remembers the last few answers.

    Args:
        words: Texts of the placeholders.
    """

    def __init__(self, words: Words) -> None:
        self._words: Mapping[str, str] = words["render"]
        self._kept: OrderedDict[str, str] = OrderedDict()
        self._lock = threading.Lock()
        options = {"html": False, "linkify": False, "breaks": True, "maxNesting": 20}
        self._markdown = MarkdownIt("commonmark", options).enable(["table", "strikethrough"])
        self._markdown.validateLink = _valid_link
        self._markdown.add_render_rule("image", _image)
        for cell in ("th_open", "td_open"):
            self._markdown.add_render_rule(cell, _cell)
        self._markdown.add_render_rule("link_open", _link)

    def html(self, text: str) -> str:
        """Render markdown written by a model or a user.

        Args:
            text: Anything at all, of any length.

        Returns:
            HTML with tags and attributes from an allow-list only: no script, style, form, frame, picture
            or identifier, and no address that a browser fetches by itself.
        """
        key = digest(text)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        made = self._clean(self._plain(text) if len(text) > FORMATTED else self._formatted(text))
        with self._lock:
            self._kept[key] = made
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return made

    def clean(self, html: str) -> str:
        """Let nothing through but tags and attributes from the allow-list."""
        return self._clean(html)

    def _formatted(self, text: str) -> str:
        return self._markdown.render(text, {"image": self._words["image"]})

    def _plain(self, text: str) -> str:
        note = self._words["long"]
        if len(text) > SHOWN:
            note += " " + self._words["cut"].format(shown=f"{SHOWN:,}", length=f"{len(text):,}")
        return f'<p class="note">{escape(note)}</p><pre class="plain">{escape(text[:SHOWN])}</pre>'

    @staticmethod
    def _clean(html: str) -> str:
        return nh3.clean(
            html,
            tags=TEXT_TAGS | BLOCK_TAGS,
            attributes=ATTRIBUTES,
            attribute_filter=_allowed,
            url_schemes=SCHEMES,
            url_relative="deny",
            link_rel="noopener noreferrer nofollow",
            set_tag_attribute_values={"a": {"target": "_blank"}},
        )


def _image(
    renderer: object, tokens: Sequence[Token], index: int, options: OptionsDict, env: Mapping[str, Any]
) -> str:
    """A placeholder that says what the picture was to be, and from where."""
    del renderer, options
    source = str(tokens[index].attrGet("src") or "")
    parts = [str(env["image"]), tokens[index].content, _host(source)]
    return f'<span class="picture">{escape(" · ".join(part for part in parts if part))}</span>'


def _cell(
    renderer: object, tokens: Sequence[Token], index: int, options: OptionsDict, env: Mapping[str, Any]
) -> str:
    """Alignment as an attribute: markdown-it writes a style, which the content policy forbids."""
    del renderer, options, env
    token = tokens[index]
    side = str(token.attrGet("style") or "").rpartition(":")[2]
    return f'<{token.tag} align="{escape(side)}">' if side else f"<{token.tag}>"


def _link(
    renderer: object, tokens: Sequence[Token], index: int, options: OptionsDict, env: Mapping[str, Any]
) -> str:
    """A link that shows its host, so that its text cannot lie about where it leads."""
    del renderer, options, env
    url = str(tokens[index].attrGet("href") or "")
    title = str(tokens[index].attrGet("title") or "")
    return f'<a href="{escape(url)}" title="{escape(title or url)}" data-host="{escape(_host(url))}">'
