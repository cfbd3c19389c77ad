"""Every page is found from README.md, every link between pages leads somewhere, and none to one machine alone."""

import re
from pathlib import Path
from urllib.parse import unquote

import pytest

from tests.conftest import REPOSITORY
from tests.docs.pages import PAGES, anchors, links, text

INNER = [(page, link) for page in PAGES for link in links(page) if not link.startswith(("http://", "https://"))]
ABSOLUTE = re.compile(r"(?<![\w.:/}>*\])-])/(?:home|root|work|Users|mnt|srv|private|workspace)/[\w./-]*")


def led_to(page: Path, link: str) -> tuple[Path, str]:
    target, _, anchor = link.partition("#")
    return (page.parent / unquote(target)).resolve() if target else page, anchor


@pytest.mark.parametrize(("page", "link"), INNER, ids=lambda one: one.name if isinstance(one, Path) else one)
def test_a_link_leads_to_a_page_and_a_heading(page: Path, link: str) -> None:
    target, anchor = led_to(page, link)
    assert target.is_relative_to(REPOSITORY)
    assert target.exists()
    if anchor and target.suffix == ".md":
        assert anchor in anchors(target)


def test_every_page_is_found_from_the_first() -> None:
    found, todo = set(), [REPOSITORY / "README.md"]
    while todo:
        page = todo.pop()
        if page in found:
            continue
        found.add(page)
        for target in (led_to(page, link)[0] for link in links(page) if "://" not in link):
            todo += sorted(target.glob("*.md")) if target.is_dir() else [target] if target.suffix == ".md" else []
    assert set(PAGES) <= found


@pytest.mark.parametrize("page", PAGES, ids=lambda one: str(one.relative_to(REPOSITORY)))
def test_no_page_names_a_folder_of_one_machine(page: Path) -> None:
    assert ABSOLUTE.findall(text(page)) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda one: str(one.relative_to(REPOSITORY)))
def test_links_to_others_are_encrypted(page: Path) -> None:
    assert [link for link in links(page) if link.startswith("http://")] == []


def test_a_machines_own_folder_would_be_found() -> None:
    assert ABSOLUTE.findall("see /home/ann/birthcert/docs and `/srv/x`")
    assert not ABSOLUTE.findall("https://host/home/x, /etc/aziot/config.toml, shared/work/x")
