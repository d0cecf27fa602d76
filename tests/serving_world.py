"""A page whose model knows colours: a label's vector is a colour, a picture's point its mean colour."""

import contextlib
import io
import threading
from http.client import HTTPConnection

import numpy as np
from PIL import Image

from zeroshot.console.errors import InputError
from zeroshot.serving.answers import Asked, Choice, Column, Line
from zeroshot.serving.app import build_app
from zeroshot.serving.desk import Desk
from zeroshot.serving.server import address_of, bind, server_of

COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "black": (0, 0, 0), "white": (255, 255, 255),
           "yellow <b>": (255, 255, 0)}
SEEN = ("red", "green", "blue")


class ColourNamer:
    """Names pictures by the nearest colour; it counts those at work and can be held up.

    Attributes:
        worked: pictures named so far.
        most: pictures that were ever at work at the same time.
        gate: while it is cleared, nothing goes on.
    """

    about = "It knows 6 colours."
    own_labels_note = "Colours, with commas between them."
    models = (Choice("near", "Nearest"), Choice("far", "Farthest"))
    label_sets = (Choice("all", "all 6"), Choice("seen", "seen: 3"))
    default = Asked(("near",), "all", 3)

    def __init__(self):
        self.worked = self.most = self._now = 0
        self.begun, self.gate = threading.Event(), threading.Event()
        self.gate.set()

    def name(self, data, asked):
        self._now += 1
        self.most = max(self.most, self._now)
        self.begun.set()
        try:
            assert self.gate.wait(20)
            return self._name(Image.open(io.BytesIO(data)), asked)
        finally:
            self._now -= 1
            self.worked += 1

    def _name(self, image, asked):
        labels = tuple(dict.fromkeys(asked.labels)) or (SEEN if asked.set == "seen" else tuple(COLOURS))
        for label in labels:
            if label == "fault":
                raise RuntimeError("a fault of ours")
            if label not in COLOURS:
                raise InputError(f"label '{label}': no such colour")
        mean = np.asarray(image).reshape(-1, 3).mean(0)
        distance = {label: float(np.linalg.norm(mean - COLOURS[label])) for label in labels}
        columns = []
        for model in asked.models:
            order = sorted(labels, key=distance.get, reverse=model == "far")[:asked.top]
            columns.append(Column(dict((c.key, c.name) for c in self.models)[model], [
                Line(label, f"{distance[label]:.0f}", "n00000001", label in SEEN, "property › colour", "<a colour>")
                for label in order]))
        return ["yellow is a mixture"] if "yellow <b>" in labels else [], columns


class Drawer:
    """Three photographs that can be searched."""

    name = "holiday/"
    pictures = ("red", "green", "blue")

    def __len__(self):
        return 3

    def search(self, words):
        if words not in self.pictures:
            raise InputError(f"'{words}': no such colour")
        return {"said": f"Nearest to “{words}”",
                "images": [{"row": self.pictures.index(words), "name": f"{words} <i>.png", "score": "1.00"}]}

    def thumbnail(self, row):
        return picture(self.pictures[row], kind="JPEG")


@contextlib.contextmanager
def running(namer=None, photographs=None, desk=None):
    """A server in a thread; yields its port."""
    with serving(namer or ColourNamer(), photographs, desk or Desk()) as (port, _):
        yield port


@contextlib.contextmanager
def serving(namer, photographs, desk):
    """Yields the server too (uvicorn's)."""
    listening = bind("127.0.0.1", 0)
    port = int(address_of(listening).rstrip("/").rpartition(":")[2])
    server = server_of(build_app(namer, photographs, "127.0.0.1", desk))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield port, server
    finally:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()


def picture(colour="red", size=(40, 30), kind="PNG"):
    """Bytes of a picture of one colour."""
    out = io.BytesIO()
    Image.new("RGB", size, COLOURS[colour]).save(out, kind)
    return out.getvalue()


def multipart(*files, **fields):
    """Content type and body of a form; `files` are (name, bytes), a field's value may be a list."""
    boundary, parts = "vnhr8c3o", []
    for key, values in fields.items():
        for value in values if isinstance(values, list) else [values]:
            parts.append(f'--{boundary}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'.encode())
    for name, data in files:
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="picture"; filename="{name}"\r\n\r\n'
        parts.append(head.encode() + data + b"\r\n")
    return f"multipart/form-data; boundary={boundary}", b"".join(parts) + f"--{boundary}--\r\n".encode()


def ask(port, path="/", body=None, method=None, **headers):
    """(status, headers, text) of an answer; `_` in a header's name stands for `-`."""
    connection = HTTPConnection("127.0.0.1", port, timeout=300)
    connection.request(method or ("GET" if body is None else "POST"), path, body,
                       {name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    data = answer.read()
    connection.close()
    return answer.status, answer.headers, data.decode(errors="replace")


def post(port, *files, headers=None, **fields):
    """Send pictures as the page does without a script."""
    kind, body = multipart(*files, **fields)
    return ask(port, body=body, Content_Type=kind, **(headers or {}))


