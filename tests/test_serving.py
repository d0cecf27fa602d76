"""The page over HTTP: its answers, and what it refuses; it goes on serving."""

import contextlib
import io
import os
import re
import socket
import struct
import sys
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.serving_world import COLOURS, ColourNamer, Drawer, ask, multipart, picture, post, running, serving
from zeroshot.console.errors import InputError
from zeroshot.serving.answers import split_labels
from zeroshot.serving.desk import Desk
from zeroshot.serving.guard import is_ours
from zeroshot.serving.limits import LABELS, PICTURE_BYTES, REQUEST_BYTES, Refusal
from zeroshot.serving.server import address_of, bind, warning
from zeroshot.serving.uploads import shown_name

FRAGMENT = {"X_Fragment": "yes"}


@pytest.fixture(scope="module")
def namer():
    return ColourNamer()


@pytest.fixture(scope="module")
def port(namer):
    with running(namer, Drawer()) as port:
        yield port


def words(text):
    return re.findall(r'<span class="words"(?: title="&lt;a colour&gt;")?>([^<]*)</span>', text)


def refusal(text):
    """The one sentence of a refusal, and no answers beside it."""
    assert not words(text)
    found = re.findall(r'<p class="refusal" role="alert">([^<]*)</p>', text)
    assert len(found) == 1, text
    return found[0]


def test_a_picture_is_named_by_the_models_and_labels_that_were_chosen(port):
    status, _, text = post(port, ("a.png", picture("red")))
    assert (status, words(text)) == (200, ["red", "black", "yellow &lt;b&gt;"])  # 0, then twice 255, by the order given
    _, _, text = post(port, ("a.png", picture("red")), model=["near", "far"], set="seen", top="2")
    assert words(text) == ["red", "green", "green", "blue"]
    _, _, text = post(port, ("a.png", picture("white")), labels="blue,\n white, blue", top="20")
    assert words(text) == ["white", "blue"]


def test_the_page_comes_back_as_it_was_filled_in_and_a_fragment_is_its_middle_alone(port):
    _, _, page = post(port, ("a.png", picture()), model="far", set="seen", top="2", labels="red, <i>")
    assert "&lt;i&gt;" in page and "<i>" not in page
    assert 'value="far" checked' in page and 'value="near" checked' not in page
    assert '<option value="seen" selected>' in page and 'value="2"' in page
    _, _, middle = post(port, ("a.png", picture()), headers=FRAGMENT)
    assert middle.strip().startswith("<article") and middle.strip().endswith("</article>")
    assert middle.strip() in post(port, ("a.png", picture()))[2]


def test_several_pictures_are_answered_in_order_and_a_bad_one_stops_no_other(port):
    status, _, text = post(port, ("a.png", picture("red")), ("b.txt", b"hello"), ("c.png", picture("blue")), top="1")
    assert (status, words(text)) == (200, ["red", "blue"])
    assert "Not an image" in text
    assert re.findall("<h3>(.*)</h3>", text) == ["a.png", "b.txt", "c.png"]


def test_answers_say_seen_or_never_seen_and_the_path_and_the_notes(port):
    _, _, text = post(port, ("a.png", picture("red")), top="2")
    assert re.findall('class="(seen|unseen)">(.*?)<', text) == [("seen", "seen"), ("unseen", "never seen")]
    assert "property › colour" in text and "n00000001" in text and "yellow is a mixture" in text


def test_every_answer_forbids_what_is_not_its_own(port):
    for path in ("/", "/files/page.js", "/nowhere", "/search?words=red", "/photographs/0"):
        _, headers, _ = ask(port, path)
        assert "default-src 'self'" in headers["Content-Security-Policy"], path
        assert headers["X-Content-Type-Options"] == "nosniff" and headers["Cache-Control"] == "no-store"
    page = ask(port)[2] + ask(port, "/files/page.js")[2] + ask(port, "/files/style.css")[2]
    assert not re.findall(r"(?:https?:)?//[\w.-]+\.\w+", page), "no address of another place"
    assert not re.findall(r" (?:style|on\w+)=", page), "the policy would drop it"


@pytest.mark.parametrize("headers", [
    {"Host": "evil.example"}, {"Host": "evil.example:80"}, {"Host": "127.0.0.1.evil.example"}, {"Host": "192.168.1.7"},
    {"Host": "[::"}, {"Host": ""}, {"Origin": "http://evil.example"}, {"Origin": "null"},
    {"Origin": "http://127.0.0.1:1"}, {"Sec_Fetch_Site": "cross-site"}, {"Sec_Fetch_Site": "same-site"}])
def test_other_sites_are_refused(port, namer, headers):
    before = namer.worked
    status, answered, text = post(port, ("a.png", picture()), headers=headers)
    assert status == 403 and text.startswith("Refused: ") and namer.worked == before
    assert "Content-Security-Policy" in answered


def test_a_link_may_lead_to_the_page_and_its_own_form_may_post(port):
    assert ask(port, Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate")[0] == 200
    assert ask(port, "/photographs/0", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate")[0] == 403
    own = {"Origin": f"http://127.0.0.1:{port}", "Sec_Fetch_Site": "same-origin"}
    assert post(port, ("a.png", picture()), headers=own)[0] == 200


@pytest.mark.parametrize("asked, bound, ours", [
    ("localhost:8000", "127.0.0.1", True), ("127.0.0.1:9", "127.0.0.1", True), ("[::1]:8000", "127.0.0.1", True),
    ("LOCALHOST", "127.0.0.1", True), ("10.0.0.1", "127.0.0.1", False), ("10.0.0.1:8000", "0.0.0.0", True),
    ("rebound.example", "0.0.0.0", False), (socket.gethostname(), "0.0.0.0", True), ("box.lan", "box.lan", True),
    (socket.gethostname() + ".evil.example", "0.0.0.0", False), ("localhost@evil.example", "127.0.0.1", False)])
def test_hosts(asked, bound, ours):
    assert is_ours(asked, bound) is ours


def test_names_of_others_are_refused_with_the_file_named():
    assert shown_name("../../etc/passwd") == "passwd"
    assert shown_name("C:\\fakepath\\a.png") == "a.png"
    assert shown_name("a\x00\n\x1b[31mb.png") == "a???[31mb.png"
    assert shown_name("") == shown_name("x/") == "picture"
    assert len(shown_name("x" * 5000)) == 80
    assert shown_name("quote'%22.jpg") == "quote'\".jpg" and shown_name("new%0D%0Aline.jpg") == "new??line.jpg"
    assert shown_name("100%25 %2F%3C.jpg") == "100%25 %2F%3C.jpg", "no browser escapes these"


@pytest.mark.parametrize("name", [
    "../../etc/passwd", "<img src=x onerror=alert(1)>.png", "%22><img src=x>.png", "C:\\\\windows\\\\a.png"])
def test_a_files_name_is_shown_escaped_and_opens_nothing(port, name):
    status, _, text = post(port, (name, picture()), headers=FRAGMENT)
    assert status == 200 and "<img src=x" not in text and ".." not in text


def test_no_path_leads_out(port):
    for path in ("/files/../app.py", "/files/..%2fapp.py", "/files/app.py", "/photographs/../../etc/passwd",
                 "/photographs/-1", "/photographs/3", "/photographs/99999999999999999999", "/photographs/a.png"):
        assert ask(port, path)[0] == 404, path


def png_of(width, height, rows=b""):
    """A PNG whose header says that size, with as little in it as `rows`."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


UNWANTED = {
    "empty": (b"", 415, "Not an image (empty file)"), "text": (b"hello", 415, "Not an image"),
    "PDF": (b"%PDF-1.4", 415, "PDF"), "zip": (b"PK\x03\x04", 415, "zip"),
    "EPS": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", 415, "Not an image"),
    "SVG": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 415, "SVG"),
    "JPEG cut short": (picture("red", (400, 300), "JPEG")[:900], 415, "cannot be read"),
    "PNG of nothing": (b"\x89PNG\r\n\x1a\n", 415, "cannot be read"), "no rows": (png_of(50, 50), 415, "cannot be read"),
    "bomb": (png_of(30000, 30000), 413, "Far too many pixels"),
    "largest bomb": (png_of(2**31 - 1, 2**31 - 1), 413, "Far too many pixels"),
    "many pixels": (png_of(9000, 9000), 413, "9,000 x 9,000 pixels; a picture may have 64 million"),
    "many bytes": (b"\xff\xd8\xff" + bytes(PICTURE_BYTES), 413, "20.1 MB; a picture may have 20 MB.")}


@pytest.mark.parametrize("name", UNWANTED)
def test_what_is_no_picture_is_refused_with_a_sentence(port, name):
    data, status, said = UNWANTED[name]
    got, _, text = post(port, ("a.png", data), headers=FRAGMENT)
    assert got == status and said in refusal(text)


def test_damaged_forms_are_refused(port):
    kind, body = multipart(("a.png", picture()))
    cut = [(kind, body[:60]), (kind, b""), ("multipart/form-data", body), ("text/plain", body),
           ("multipart/form-data; boundary=other", body), (kind, b"\r\n".join([body] * 3)[1:])]
    for content_type, data in cut:
        status, _, text = ask(port, body=data, Content_Type=content_type, **FRAGMENT)
        assert status in (400, 415), data[:80]
        refusal(text)
    assert "No picture was sent" in refusal(post(port)[2])
    assert post(port, *[("a.png", picture())] * 11)[0] == 400
    assert post(port, ("a.png", picture()), labels="x" * (9 << 20))[0] == 400


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_damage_ends_the_server(port, data):
    kind, body = multipart(("a.png", picture()), ("b.jpg", picture("blue", kind="JPEG")), top="2", labels="red, blue")
    damaged = bytearray(body)
    for place in data.draw(st.lists(st.integers(0, len(body) - 1), min_size=1, max_size=8)):
        damaged[place] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(len(body) // 2, len(body)))
    assert ask(port, body=bytes(damaged[:cut]), Content_Type=kind)[0] in (200, 400, 413, 415, 422)


def test_options_that_are_not_there_are_refused(port):
    for fields in ({"model": "nobody"}, {"set": "../all"}, {"top": "0"}, {"top": "21"}, {"top": "-1"}, {"top": "²"}):
        status, _, text = post(port, ("a.png", picture()), **fields)
        assert status == 400 and refusal(text)
    status, _, text = post(port, ("a.png", picture()), labels=",")
    assert status == 400 and refusal(text).startswith("There is no label in &#39;,&#39;; expected at least one")
    status, _, text = post(port, ("a.png", picture()), labels="red, mauve")
    assert status == 422 and refusal(text) == "label &#39;mauve&#39;: no such colour"
    assert ask(port, "/nowhere")[0] == 404 and ask(port, "/", method="DELETE")[0] == 405


def test_labels_as_typed():
    assert split_labels(" zedonk,okapi ,\r\n\n tapir\tpit, okapi,,") == ("zedonk", "okapi", "tapir pit", "okapi")
    assert split_labels(" \r\n") == ()
    for text in (" ,\n", ";", '""', "# zebra"):
        with pytest.raises(Refusal, match="There is no label in .*; expected at least one"):
            split_labels(text)
    with pytest.raises(Refusal, match="50,001 labels; the page takes 50,000"):
        split_labels(",".join(map(str, range(LABELS + 1))))


def test_a_request_that_is_too_large_hears_so(port):
    kind, body = multipart(("a.png", bytes(REQUEST_BYTES)))
    status, _, text = ask(port, body=body, Content_Type=kind, **FRAGMENT)
    assert status == 413 and "larger than 40 MB" in refusal(text)
    status, _, text = ask(port, body=(body[start:start + 2**20] for start in range(0, len(body), 2**20)),
                          Content_Type=kind, **FRAGMENT)  # no length is declared
    assert status == 413 and "larger than 40 MB" in refusal(text)


def test_ten_uploads_at_once_are_all_answered_one_at_a_time(port, namer):
    colours = (list(COLOURS) * 2)[:10]
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda colour: post(port, (f"{colour[:3]}.png", picture(colour)), top="1"), colours))
    assert [status for status, _, _ in answers] == [200] * 10
    assert [words(text) for _, _, text in answers] == [[colour.replace("<", "&lt;").replace(">", "&gt;")]
                                                       for colour in colours]
    assert namer.most == 1


def test_beyond_its_places_the_queue_refuses_and_the_page_is_still_there():
    namer = ColourNamer()
    desk = Desk(3)
    with running(namer, Drawer(), desk) as port, ThreadPoolExecutor(3) as pool:
        namer.gate.clear()
        held = [pool.submit(post, port, ("a.png", picture()), headers=FRAGMENT) for _ in range(3)]
        until(lambda: not desk.free and namer.begun.is_set())
        status, headers, text = post(port, ("a.png", picture("red", (3000, 3000), "BMP")), headers=FRAGMENT)
        assert status == 503 and headers["Retry-After"] == "5"
        assert "All 3 places in the queue are taken" in refusal(text)
        assert ask(port)[0] == ask(port, "/photographs/1")[0] == 200, "while a picture is worked on"
        namer.gate.set()
        assert [future.result()[0] for future in held] == [200] * 3
        assert post(port, ("a.png", picture()))[0] == 200


def until(condition):
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def begin(port, body, kind, send):
    """A socket on which the first `send` bytes of a request's body have been sent."""
    opened = socket.create_connection(("127.0.0.1", port))
    opened.sendall(f"POST / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: {kind}\r\n"
                   f"Content-Length: {len(body)}\r\n\r\n".encode() + body[:send])
    return opened


def test_who_leaves_is_not_worked_for_and_frees_the_place():
    namer, desk = ColourNamer(), Desk(3)
    kind, body = multipart(("a.png", picture("red", (300, 300), "BMP")))
    with serving(namer, None, desk) as (port, server), ThreadPoolExecutor(1) as pool:
        for send in (0, 100, len(body) - 5):  # in the middle of the upload
            opened = [begin(port, body, kind, send) for _ in range(3)]
            until(lambda: not desk.free)
            for one in opened:
                one.close()
            until(lambda: desk.free == 3)
        namer.gate.clear()
        held = pool.submit(post, port, ("a.png", picture()))
        assert namer.begun.wait(20)
        waiting = [begin(port, body, kind, len(body)) for _ in range(2)]
        until(lambda: not desk.free)
        for opened in waiting:
            opened.close()
        until(lambda: len(server.server_state.connections) == 1)
        namer.gate.set()
        assert held.result()[0] == 200
        until(lambda: desk.free == 3)
        assert post(port, ("a.png", picture()))[0] == 200
        assert namer.worked == 2, "the one held and the last"


def test_an_upload_that_does_not_end_is_given_up(monkeypatch):
    monkeypatch.setattr("zeroshot.serving.uploads.UPLOAD_SECONDS", 0.2)
    kind, body = multipart(("a.png", picture()))
    with running() as port, contextlib.closing(begin(port, body, kind, 20)) as opened:
        opened.settimeout(20)
        assert opened.recv(100).startswith(b"HTTP/1.1 408")


def test_a_fault_of_the_program_ends_one_request_only(port, caplog):
    status, headers, text = post(port, ("a.png", picture()), labels="fault")
    assert status == 500 and "its window says more" in refusal(text) and "a fault of ours" not in text
    assert "Content-Security-Policy" in headers
    until(lambda: "a fault of ours" in caplog.text)  # the traceback goes to who runs it
    assert post(port, ("a.png", picture()))[0] == 200


WRITTEN = []  # paths that were opened for writing, while WATCHING is set
WATCHING = threading.Event()


def watch(event, arguments):
    """An audit hook, which cannot be taken away again."""
    if event == "open" and WATCHING.is_set():
        path, _, flags = arguments
        if isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            WRITTEN.append(path)


def test_nothing_of_the_users_is_written(port, tmp_path):
    sys.addaudithook(watch)
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (1500, 1500, 3), np.uint8))
    out = io.BytesIO()
    noise.save(out, "PNG", compress_level=0)
    WATCHING.set()
    try:
        (tmp_path / "seen").touch()
        assert post(port, ("large.png", out.getvalue()))[0] == 200
    finally:
        WATCHING.clear()
    assert len(out.getvalue()) > 6 << 20 and WRITTEN == [str(tmp_path / "seen")]


def test_search_shows_the_photographs_by_number(port):
    status, _, text = ask(port, "/search?words=green")
    assert status == 200 and '<img src="/photographs/1"' in text and "green &lt;i&gt;.png" in text
    assert 'value="green"' in text and words(text) == ["green &lt;i&gt;.png"]
    assert ask(port, "/photographs/1")[1]["Content-Type"] == "image/jpeg"
    assert ask(port, "/search?words=+")[0] == 400 and ask(port, "/search?words=" + "x" * 201)[0] == 413
    status, _, text = ask(port, "/search?words=mauve", **FRAGMENT)
    assert status == 422 and refusal(text) == "&#39;mauve&#39;: no such colour"


def test_without_a_folder_there_is_no_search():
    with running() as port:
        assert "Search" not in ask(port)[2]
        assert "--photographs" in refusal(ask(port, "/search?words=red")[2])
        assert ask(port, "/photographs/0")[0] == 404


def test_that_no_model_was_ticked_is_said(port):
    note = '<p class="note">No model was ticked; those ticked at the start answer.</p>'
    _, _, text = post(port, ("a.png", picture()), headers=FRAGMENT)
    assert note in text and "<h4>Nearest</h4>" in text and "Farthest" not in text
    assert note not in post(port, ("a.png", picture()), model="near")[2]


def test_a_port_that_is_taken_is_said_and_another_is_found():
    with contextlib.closing(bind("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert address_of(taken) == f"http://127.0.0.1:{port}/"
        with pytest.raises(InputError, match=f"--port {port}: cannot listen there: .*another --port"):
            bind("127.0.0.1", port)
    with pytest.raises(InputError, match="expected 0"):
        bind("127.0.0.1", 70000)
    for host in ("203.0.113.7", "a..b", ""):
        with pytest.raises(InputError, match="cannot listen"):
            bind(host, 0)


def test_a_wider_address_is_warned_of():
    assert warning("127.0.0.1") == warning("localhost") == warning("::1") == ""
    assert "whoever reaches this machine" in warning("0.0.0.0")
