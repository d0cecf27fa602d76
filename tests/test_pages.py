"""Pages in a browser: what tests/browser.py sees of them, and plots/report.html."""

import json

import pytest

from tests.browser import find_chromium, visit
from tests.ranking_world import WNID
from tests.report_world import build_ranked, make_page, name_the_pug
from zeroshot.labels.label_sets import read_label_sets


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


# --- plots/report.html, of a little world

STRUCTURE = """() => {
  const all = selector => [...document.querySelectorAll(selector)];
  const levels = all('h1, h2, h3, h4').map(one => Number(one.tagName[1]));
  const named = one => one.labels?.length || one.textContent.trim() || one.getAttribute('aria-label');
  const ids = all('[id]').map(one => one.id);
  return {
    'not one h1, header, nav, main': ['h1', 'header', 'nav', 'main'].filter(name => all(name).length !== 1),
    'skipped heading levels': levels.filter((level, i) => level > (levels[i - 1] ?? 0) + 1),
    'pictures without words': all('img:not([alt]), img[alt=""], svg[role]:not([aria-label])').length,
    'svgs that are neither named nor hidden': all('svg:not([role]):not([aria-hidden])').length,
    'tables without caption': all('table').filter(one => !one.caption?.textContent.trim()).length,
    'heads without scope': all('th:not([scope])').length,
    'controls without name': all('button, select, input').filter(one => !named(one)).length,
    'regions without name': all('section:not([aria-labelledby]), [role=region]:not([aria-label])').length,
    'links to nowhere': all('a[href^="#"]').filter(one => !document.querySelector(one.getAttribute('href'))).length,
    'ids given twice': ids.filter((id, i) => ids.indexOf(id) !== i),
  };
}"""
FOCUSABLE = "a[href], button, select, input, summary, [tabindex='0']"
UNMARKED = """selector => [...document.querySelectorAll(selector)].filter(one => {
  if (!one.checkVisibility()) return false;
  one.focus({focusVisible: true});
  const style = getComputedStyle(one);
  return document.activeElement !== one || style.outlineStyle === 'none' || parseFloat(style.outlineWidth) < 2;
}).map(one => one.outerHTML.slice(0, 80))"""


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    world = build_ranked(tmp_path_factory.mktemp("world"))
    make_page(world, world / "report.html")
    return world


@pytest.fixture
def report(world):
    return (world / "report.html").as_uri()


def shown(page, selector):
    return page.evaluate("selector => [...document.querySelectorAll(selector)].filter(one => one.checkVisibility())"
                         ".map(one => one.textContent.trim().replace(/\\s+/g, ' '))", selector)


@pytest.mark.parametrize("width, scheme", [
    (320, "light"), (375, "light"), (375, "dark"), (1280, "light"), (1280, "dark")])
def test_the_report_can_be_read_at_any_width_in_either_scheme(chromium, report, width, scheme):
    with visit(chromium, report, width=width, scheme=scheme) as seen:
        seen.page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        for button in seen.page.locator(".more button:visible").all():
            button.click()
        assert (seen.unreadable(), seen.overflow(), seen.outside, seen.said) == ([], 0, [], [])


def test_the_report_is_built_as_screen_readers_need_it(chromium, report):
    with visit(chromium, report) as seen:
        assert not any(faults := seen.page.evaluate(STRUCTURE).values()), faults
        assert seen.page.evaluate(UNMARKED, FOCUSABLE) == []


def test_without_scripts_all_figures_and_pictures_stand_there(chromium, report):
    with visit(chromium, report, java_script_enabled=False) as seen:
        captions = seen.page.locator("#results caption")
        assert captions.count() == seen.page.locator("#results caption:visible").count() > 10
        assert seen.page.locator("#curves svg[role=img]:visible").count() == captions.count()
        assert seen.page.locator(".picture:visible").count() == 2
        assert seen.page.locator("noscript p:visible").count() == 2
        assert seen.page.locator(".controls:visible").count() == 0


def test_pictures_are_filtered_by_class_and_by_which_model_is_right(chromium, report, world):
    sets, name = read_label_sets(world / "label_sets"), {wnid: noun for noun, wnid in WNID.items()}
    with visit(chromium, report) as seen:
        page = seen.page
        right = {one["data-class"]: json.loads(one["data-right"]) for one in page.evaluate(
            "[...document.querySelectorAll('.picture')].map(one => ({'data-class': one.dataset.class, "
            "'data-right': one.dataset.right}))")}
        assert set(right) == set(sets["unseen"])

        def found():
            return sorted(shown(page, ".picture h3"))

        for wnid in right:
            page.select_option("#image-class", wnid)
            assert found() == [name[wnid]] and "1 of 2 images fit" in page.inner_text("#image-count")
        page.click("#image-reset")
        for label_set, model in (("unseen", "ConSE(1)"), ("unseen", "HierSE"), ("unseen+seen", "Softmax baseline")):
            page.select_option("#image-set", label_set)
            page.select_option("#image-right", model)
            assert found() == sorted(name[wnid] for wnid in right if model in right[wnid][label_set])
            page.select_option("#image-right", "")
            page.select_option("#image-wrong", model)
            assert found() == sorted(name[wnid] for wnid in right if model not in right[wnid][label_set])
            page.click("#image-reset")
        page.select_option("#image-right", "every")
        page.select_option("#image-wrong", "every")
        assert found() == [] and page.inner_text("#image-count") == "None fits: 0 of 2 images"
        page.select_option("#image-set", "unseen")
        page.select_option("#image-right", "")
        page.select_option("#image-wrong", "")
        assert "Softmax baseline" not in shown(page, ".answers h4")  # it has no unseen labels
        page.select_option("#image-right", "Softmax baseline")
        assert page.inner_text("#image-count") == "None fits: 0 of 2 images; Softmax baseline gives no labels of unseen"


def test_classes_are_sorted_and_found(chromium, report):
    with visit(chromium, report) as seen:
        page = seen.page
        page.select_option("#class-set", "seen")
        page.click("#class-table button[data-key=name]")
        assert shown(page, "#class-table tbody th") == ["car seen", "cat seen", "husky seen"]
        assert page.get_attribute("#class-table th:first-child", "aria-sort") == "ascending"
        page.click("#class-table button[data-key=name]")
        assert shown(page, "#class-table tbody th") == ["husky seen", "cat seen", "car seen"]
        assert page.get_attribute("#class-table th:first-child", "aria-sort") == "descending"
        page.fill("#class-find", "CA")
        assert shown(page, "#class-table tbody th") == ["cat seen", "car seen"]
        assert page.inner_text("#class-count") == "2 shown of 2 classes"
        page.fill("#class-find", WNID["husky"])
        assert shown(page, "#class-table tbody th") == ["husky seen"]
        page.fill("#class-find", "zebra")
        assert page.inner_text("#class-count") == "None fits: 0 of 3 classes"
        assert not page.is_visible("#class-table")
        page.fill("#class-find", "")
        assert len(shown(page, "#class-table tbody th")) == 3


def test_confusions_are_filtered_by_what_and_how_far(chromium, report):
    with visit(chromium, report) as seen:
        page = seen.page
        page.select_option("#confusion-model", label="Softmax baseline")  # it knows seen labels only
        every = page.locator("#confusion-table tbody tr").count()
        page.select_option("#confusion-seen", "1")
        assert page.locator("#confusion-table tbody tr").count() == every > 0
        page.select_option("#confusion-seen", "0")
        assert page.locator("#confusion-table tbody tr").count() == 0 and not page.is_visible("#confusion-table")
        said = page.locator("#confusion-count")
        assert said.inner_text() == f"None fits: 0 of the model’s {every} most frequent confusions"
        assert said.get_attribute("role") == "status"
        page.select_option("#confusion-seen", "")
        by_band = []
        for band, (least, most) in enumerate(((1, 2), (3, 4), (5, 7), (8, 99))):
            page.select_option("#confusion-band", str(band))
            edges = [int(text) for text in shown(page, "#confusion-table tbody td:nth-child(3)")]
            assert all(least <= hops <= most for hops in edges)
            by_band.append(len(edges))
        assert sum(by_band) == every


EMPTY = """() => ({
  'choices of nothing': [...document.querySelectorAll('select')].filter(one => !one.options.length).length,
  'tables of headings only': [...document.querySelectorAll('table')].filter(one => !one.tBodies[0].rows.length).length,
  'sections without a word': [...document.querySelectorAll('section')].filter(one => !one.querySelector('p')).length,
})"""


def test_a_run_without_test_images_says_so_in_place_of_what_there_is_not(chromium, world):
    (world / "nothing").mkdir()
    for path in (world / "scores").glob("*.csv"):
        (world / "nothing" / path.name).write_text("model,label_set,metric,k,value\n")
    make_page(world, world / "none.html", scores=world / "nothing")
    with visit(chromium, (world / "none.html").as_uri()) as seen:
        page = seen.page
        assert not any(faults := (page.evaluate(EMPTY) | page.evaluate(STRUCTURE)).values()), faults
        assert shown(page, "main .empty") == [
            "Nothing was ranked: there were no test images.", "There is nothing to draw: there were no test images.",
            *["There are no test images of the labels of seen or unseen."] * 3]
        page.focus("#label-map")
        page.keyboard.press("ArrowRight")
        assert page.inner_text("#map-said").startswith("cat ("), "the rest of the script runs"
        assert (seen.unreadable(), seen.overflow(), seen.outside, seen.said) == ([], 0, [], [])


def test_the_keyboard_is_enough(chromium, report):
    with visit(chromium, report) as seen:
        page = seen.page
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Skip to the results"
        page.keyboard.press("Enter")
        assert page.url.endswith("#main")
        page.focus(".legend button")
        page.keyboard.press("Space")
        assert page.get_attribute(".legend button", "aria-pressed") == "true"
        assert page.locator(".panels.picked g.on").count() == page.locator(".panels g[data-model='0']").count() > 0
        page.keyboard.press("Space")
        assert page.locator(".panels.picked").count() == 0
        page.focus("#label-map")
        said = []
        for key in [*["ArrowRight"] * 6, "ArrowLeft", "ArrowUp", "ArrowDown"]:
            page.keyboard.press(key)
            said.append(page.inner_text("#map-said").split(" ")[0])
        assert said == ["cat", "husky", "pug", "car", "canoe", "canoe", "car", "canoe", "car"]


@pytest.mark.parametrize("touch", [False, True])
def test_a_label_of_the_map_is_named_under_the_pointer_and_by_a_tap(chromium, report, touch):
    with visit(chromium, report, width=375 if touch else 1280, has_touch=touch) as seen:
        mark = seen.page.locator("#label-map path.kind").first
        mark.tap(force=True) if touch else mark.hover(force=True)
        said = seen.page.inner_text("#map-said")
        assert said.startswith("pug (") and "never seen; nearest: " in said
        assert seen.page.text_content("#map-here text") == "pug"


def test_a_wicked_name_is_only_a_name(chromium, world, monkeypatch):
    wicked = "</script><img src=x onerror=document.title='run'>\"'"
    name_the_pug(monkeypatch, wicked)
    make_page(world, world / "wicked.html")
    with visit(chromium, (world / "wicked.html").as_uri()) as seen:
        assert seen.page.title() == "Zero-shot image classification: results"
        assert wicked in shown(seen.page, ".picture h3") and wicked in shown(seen.page, "#class-table tbody th")
        assert seen.said == []
