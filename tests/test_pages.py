"""What tests/browser.py sees of a page, on pages made for it."""

import pytest

from tests.browser import find_chromium, visit


@pytest.fixture
def page_of(tmp_path):
    def write(html):
        (tmp_path / "page.html").write_text(f"<!doctype html><html lang=en><title>t</title>{html}</html>")
        return (tmp_path / "page.html").as_uri()
    return write


def test_what_is_wrong_with_a_page_is_seen(chromium, page_of):
    address = page_of("""<body style="background: #fff"><p style="color: #777; background: #fff">grey</p>
        <p style="color: #767676">darker</p><p style="display: none; color: #fff">hidden</p>
        <p style="color: #000; opacity: 0.3">faint</p><div style="width: 500px">wide</div>
        <svg width=50 height=20><text y=10 fill="#eee">drawn</text></svg>
        <script src="http://localhost:9/x.js"></script><script>console.error("bad"); nothing()</script>""")
    with visit(chromium, address, width=375) as seen:
        assert {text["text"] for text in seen.unreadable()} == {"grey", "faint", "drawn"}
        assert seen.overflow() > 100 and seen.outside == ["http://localhost:9/x.js"]
        assert "bad" in seen.said and any("nothing is not defined" in line for line in seen.said)


def test_nothing_is_wrong_with_a_plain_page(chromium, page_of):
    with visit(chromium, page_of("<body><p>plain"), width=375) as seen:
        assert (seen.unreadable(), seen.overflow(), seen.outside, seen.said) == ([], 0, [], [])


@pytest.mark.parametrize("ci, outcome", [("true", pytest.fail.Exception), ("", pytest.skip.Exception)])
def test_without_chromium_tests_are_skipped_but_not_in_ci(monkeypatch, tmp_path, ci, outcome):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CI", ci)
    with pytest.raises(outcome, match="no Chromium here: apt-get install chromium"):
        find_chromium()
