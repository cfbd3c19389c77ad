"""The documents of the repository, and what stands in them: headings, links, names, blocks of code."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.conftest import REPOSITORY

# Pages for whoever uses, runs or changes Birthcert; README.md leads to all of them.
PAGES: Final = tuple(
    sorted(
        path
        for folder in (REPOSITORY, REPOSITORY / "docs", REPOSITORY / "docs" / "adr", REPOSITORY / "infra")
        for path in (*folder.glob("*.md"), *folder.glob("setup/*.md"), *folder.glob("smoke/*.md"))
    )
)
_BLOCK: Final = re.compile(
    r"^(?P<mark><!-- (?P<marks>[a-z -]+) -->\n)?```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
_HEADING: Final = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
_LINK: Final = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")


@dataclass(frozen=True)
class Block:
    """Fenced code. `marks` are the words of the HTML comment in the line before."""

    page: Path
    number: int
    language: str
    text: str
    marks: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{self.page.relative_to(REPOSITORY)}:{self.number}"

    @property
    def pasted(self) -> str:
        """With the last block before it of the mark `prelude`, which says what the blocks after it share."""
        before = [one for one in blocks(self.page, self.language) if one.number < self.number]
        preludes = [one.text for one in before if "prelude" in one.marks]
        return "".join([*preludes[-1:], self.text])


def text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(page: Path, language: str) -> list[Block]:
    """Numbered by the line of their first fence."""
    content = text(page)
    return [
        Block(
            page,
            content.count("\n", 0, found.start()) + (2 if found["mark"] else 1),
            found["language"],
            found["text"],
            tuple((found["marks"] or "").split()),
        )
        for found in _BLOCK.finditer(content)
        if found["language"] == language
    ]


def prose(page: Path) -> str:
    """The page without its blocks of code."""
    return _BLOCK.sub("", text(page))


def anchors(page: Path) -> set[str]:
    """What GitHub makes of the headings: github.com/gjtorikian/html-pipeline, toc_filter.rb."""
    found: dict[str, int] = {}
    made = set()
    for heading in _HEADING.findall(prose(page)):
        shown = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
        slug = re.sub(r"[^\w\- ]", "", shown).replace(" ", "-")
        made.add(f"{slug}-{found[slug]}" if slug in found else slug)
        found[slug] = found.get(slug, 0) + 1
    return made


def links(page: Path) -> list[str]:
    """Where the page leads, as it is written."""
    return _LINK.findall(re.sub(r"`[^`\n]*`", "", prose(page)))


def spans(page: Path) -> list[str]:
    """What stands in backquotes."""
    return re.findall(r"`([^`\n]+)`", prose(page))
