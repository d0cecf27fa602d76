"""The served page in a headless Chromium: pictures chosen, dropped, pasted, and without a script."""

import base64
import re

import pytest

from tests.browser import visit
from tests.serving_world import ColourNamer, Drawer, picture, running
from zeroshot.serving.limits import PICTURE_BYTES


@pytest.fixture(scope="module")
def namer():
    return ColourNamer()


@pytest.fixture(scope="module")
def address(namer):
    with running(namer, Drawer()) as port:
        yield f"http://127.0.0.1:{port}/"


@pytest.fixture
def seen(chromium, address):
    with visit(chromium, address) as seen:
        yield seen
        assert [line for line in seen.said if "status of 4" not in line] == [] and seen.outside == []  # refusals


def file(name, colour):
    return {"name": name, "mimeType": "image/png", "buffer": picture(colour)}


def first_words(page):
    return page.locator("article li:first-child .words").all_inner_texts()


def settled(page, text):
    page.get_by_text(re.compile(rf"^{text}$")).wait_for()


def test_chosen_pictures_are_named_at_once_and_again_with_what_is_then_asked(seen):
    page = seen.page
    page.get_by_label("Choose pictures").set_input_files([file("a.png", "red"), file("b.png", "blue")])
    settled(page, "2 pictures.")
    assert first_words(page) == ["blue", "red"], "the latest stands first"
    assert page.locator("article img").first.evaluate("image => image.complete && image.naturalWidth") == 40
    page.get_by_label("Farthest").check()
    page.get_by_label("labels of your own").fill("blue, white")
    page.get_by_role("button", name="Name").click()
    settled(page, "2 pictures.")
    assert page.locator("article h4").all_inner_texts() == ["Nearest", "Farthest"] * 2
    assert first_words(page) == ["blue", "white", "blue", "blue"]  # red: sqrt(2) from blue and white; blue comes first
    page.get_by_label("labels of your own").fill(",")
    page.get_by_role("button", name="Name").click()
    settled(page, "2 pictures.")
    assert page.get_by_role("alert").all_inner_texts() == [
        "There is no label in ','; expected at least one, or nothing, which takes those of the set."] * 2
    assert page.locator("article h3").all_inner_texts() == ["b.png", "a.png"]
    assert page.locator("article img").count() == 2
    page.get_by_role("button", name="Clear").click()
    assert page.locator("article").count() == 0


def transfer(page, *files):
    """A DataTransfer in the page that holds the files."""
    given = [[name, kind, base64.b64encode(data).decode()] for name, kind, data in files]
    return page.evaluate_handle("""files => {
        const transfer = new DataTransfer();
        for (const [name, type, data] of files)
            transfer.items.add(new File([Uint8Array.from(atob(data), c => c.charCodeAt(0))], name, {type}));
        return transfer;
    }""", given)


def test_a_files_name_is_shown_as_it_is(seen):
    names = ["quote'\".png", "100%.png", "new\nline.png"]
    given = transfer(seen.page, *[(name, "image/png", picture()) for name in names])
    seen.page.dispatch_event("main", "drop", {"dataTransfer": given})
    settled(seen.page, "3 pictures.")
    assert seen.page.locator("article h3").all_inner_texts() == ["new?line.png", "100%.png", "quote'\".png"]


def test_pictures_are_dropped_and_pasted(seen):
    page = seen.page
    given = transfer(page, ("a.png", "image/png", picture("green")), ("b.txt", "text/plain", b"hello"))
    page.dispatch_event("main", "drop", {"dataTransfer": given})
    settled(page, "2 pictures.")
    assert first_words(page) == ["green"]
    assert "Not an image" in page.get_by_role("alert").inner_text()
    page.evaluate("data => dispatchEvent(new ClipboardEvent('paste', {clipboardData: data}))",
                  transfer(page, ("image.png", "image/png", picture("white"))))
    settled(page, "3 pictures.")
    assert first_words(page) == ["white", "green"]


def test_twenty_pictures_wait_in_line(seen, namer):
    page = seen.page
    page.get_by_label("Choose pictures").set_input_files([file(f"{n}.png", "red") for n in range(20)])
    settled(page, "20 pictures.")
    assert first_words(page) == ["red"] * 20 and namer.most == 1


def test_too_large_a_picture_is_not_even_sent(seen):
    page = seen.page
    assert page.locator("#picture").evaluate("input => input.dataset.bytes") == str(PICTURE_BYTES)
    page.locator("#picture").evaluate("input => input.dataset.bytes = 2 ** 20")  # 20 MB take the driver half a minute
    page.get_by_label("Choose pictures").set_input_files({**file("a.png", "red"), "buffer": bytes((1 << 20) + 1)})
    assert "1.1 MB; a picture may have 1 MB." in page.get_by_role("alert").inner_text()


def search(page, words):
    page.get_by_role("searchbox").fill(words)
    page.get_by_role("searchbox").press("Enter")


def test_search_shows_photographs(seen):
    page = seen.page
    search(page, "green")
    page.get_by_text("green <i>.png").wait_for()
    page.locator(".found img").first.evaluate("image => image.decode()")
    page.evaluate("document.body.style.minHeight = '300vh'")
    page.mouse.wheel(0, 300)
    page.wait_for_function("() => scrollY > 200")
    search(page, "mauve")
    page.get_by_text("no such colour").wait_for()
    assert page.get_by_role("heading", name="Search").bounding_box()["y"] > -1, "what is refused is in view"


def test_a_search_takes_no_picture_away_and_the_queue_goes_on(seen, namer):
    page, choose = seen.page, seen.page.get_by_label("Choose pictures")
    choose.set_input_files(file("a.png", "red"))
    settled(page, "1 picture.")
    namer.gate.clear()
    try:
        choose.set_input_files([file("b.png", "blue"), file("c.png", "white")])
        search(page, "green")  # it waits for the picture that is at work
        settled(page, "Searching …")
        choose.set_input_files(file("d.png", "black"))
        settled(page, "3 to go …")
    finally:
        namer.gate.set()
    page.get_by_text("green <i>.png").wait_for()
    settled(page, "1 photograph.")
    settled(page, "4 pictures.")
    assert first_words(page) == ["black", "white", "blue", "red"]
    page.get_by_label("labels of your own").fill("white")
    page.get_by_role("button", name="Name").click()
    settled(page, "4 pictures.")
    assert first_words(page) == ["white"] * 4 and page.get_by_text("green <i>.png").is_visible()


def test_the_next_search_replaces_what_was_found_whichever_is_answered_first(seen):
    page = seen.page
    search(page, "green")
    page.get_by_text("green <i>.png").wait_for()
    page.route("**/search?words=red", lambda route: None)  # it is never answered
    search(page, "red")
    settled(page, "Searching …")
    search(page, "blue")
    page.get_by_text("blue <i>.png").wait_for()
    settled(page, "1 photograph.")
    assert page.locator(".found").count() == 1 and page.get_by_role("region", name="Search").is_visible()
    assert page.locator("#status").inner_text() == "None yet."


def test_cleared_pictures_are_no_longer_counted(seen, namer):
    page, choose = seen.page, seen.page.get_by_label("Choose pictures")
    namer.gate.clear()
    try:
        choose.set_input_files([file("a.png", "red"), file("b.png", "blue")])
        settled(page, "2 to go …")
        page.get_by_role("button", name="Clear").click()
        choose.set_input_files(file("c.png", "white"))
        settled(page, "1 to go …")
    finally:
        namer.gate.set()
    settled(page, "1 picture.")
    assert first_words(page) == ["white"]


def test_by_keyboard_alone(seen):
    page = seen.page
    visited = []
    for _ in range(12):
        page.keyboard.press("Tab")
        visited.append(page.evaluate("document.activeElement.id || document.activeElement.textContent.trim() || "
                                     "document.activeElement.value"))
        rings = page.evaluate("""[document.activeElement, document.activeElement.nextElementSibling].map(
            element => element && getComputedStyle(element).outlineStyle)""")
        assert "solid" in rings, visited
    assert visited == ["Skip to the answers", "picture", "Models and labels", "near", "far", "set", "labels", "top",
                       "Name", "Clear", "words", "Search"]
    assert page.evaluate("[...document.querySelectorAll('input, select, textarea')].every(one => one.labels.length)")


def test_without_a_script_the_form_still_works(chromium, address):
    with visit(chromium, address, java_script_enabled=False) as seen:
        page = seen.page
        assert not page.get_by_text("drop them here").is_visible() and page.locator("#picture").is_visible()
        page.get_by_label("Choose pictures").set_input_files([file("a.png", "red"), file("b.png", "blue")])
        page.get_by_label("Answers a model").fill("1")
        page.get_by_role("button", name="Name").click()
        page.locator("article").first.wait_for()
        assert first_words(page) == ["red", "blue"] and page.get_by_label("Answers a model").input_value() == "1"
        page.get_by_role("searchbox").fill("green")
        page.get_by_role("button", name="Search").click()
        page.get_by_text("green <i>.png").wait_for()
        assert page.get_by_role("region", name="Search").is_visible()
        page.get_by_role("searchbox").fill("mauve")
        page.get_by_role("button", name="Search").click()
        assert page.get_by_role("region", name="Search").get_by_role("alert").is_visible()
        assert seen.outside == [] and [line for line in seen.said if "status of 422" not in line] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [375, 1280])
def test_it_is_readable_and_fits(chromium, address, width, scheme):
    with visit(chromium, address, width=width, scheme=scheme) as seen:
        page = seen.page
        if not page.get_by_label("Farthest").is_visible():
            page.get_by_text("Models and labels").click()
        page.get_by_label("Farthest").check()
        page.get_by_label("Choose pictures").set_input_files([file("a" * 90 + ".png", "red"), file("b.png", "blue")])
        settled(page, "2 pictures.")
        assert seen.unreadable() == [] and seen.overflow() == 0
        search(page, "green")
        page.get_by_text("green <i>.png").wait_for()
        assert seen.unreadable() == [] and seen.overflow() == 0


def test_a_server_that_is_gone_or_refuses_is_said(chromium):
    with running() as port, visit(chromium, f"http://127.0.0.1:{port}/") as seen:
        seen.page.route("**/*", lambda route: route.fulfill(status=403, body="Refused: <b>no</b>"))
        seen.page.get_by_label("Choose pictures").set_input_files(file("a.png", "red"))
        seen.page.get_by_text("Refused: no").wait_for()
        seen.page.unroute("**/*")
        seen.page.route("**/*", lambda route: route.abort())
        seen.page.get_by_label("Choose pictures").set_input_files(file("a.png", "red"))
        seen.page.get_by_text("The server does not answer. Is it still running?").wait_for()
