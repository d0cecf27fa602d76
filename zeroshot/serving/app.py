"""The page's addresses. Each works without a script, as a whole page, and gives its middle alone to the script."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from zeroshot.console.errors import InputError
from zeroshot.serving.answers import Asked, Namer, Searched, asked_of
from zeroshot.serving.desk import Desk
from zeroshot.serving.guard import Guard
from zeroshot.serving.limits import CONNECTIONS, MEBI, PICTURE_BYTES, PIXELS, TOP, WORDS, Refusal
from zeroshot.serving.pictures import check_picture, inline, thumbnail
from zeroshot.serving.uploads import Upload, drain, read_form

PAGES = Path(__file__).parent / "pages"
FILES = {"style.css": "text/css", "page.js": "text/javascript", "icon.svg": "image/svg+xml"}
LIMITS = {"bytes": PICTURE_BYTES, "megabytes": PICTURE_BYTES // MEBI, "megapixels": PIXELS // 10**6, "top": TOP,
          "words": WORDS}


def build_app(namer: Namer, photographs: Searched | None, host: str, desk: Desk) -> ASGIApp:
    """The ASGI application.

    Args:
        photographs: a folder that can be searched.
        host: address or name that the server is bound to.
    """
    site = Site(namer, photographs, desk)
    routes = [Route("/", site.start), Route("/", site.name, methods=["POST"]), Route("/search", site.search),
              Route("/photographs/{row:int}", site.photograph), Route("/files/{name}", file)]
    handlers = {Refusal: site.refused, InputError: site.refused, HTTPException: site.refused, Exception: site.failed,
                ClientDisconnect: left}
    return Guard(Starlette(routes=routes, exception_handlers=handlers), host)


async def file(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in FILES:
        raise HTTPException(404)
    return Response((PAGES / name).read_bytes(), media_type=FILES[name])


async def left(request: Request, error: Exception) -> Response:
    return Response(status_code=499)


class Site:
    """What is asked at each address, and its answer."""

    def __init__(self, namer: Namer, photographs: Searched | None, desk: Desk):
        self._namer, self._photographs, self._desk = namer, photographs, desk
        self._darkroom = Desk(CONNECTIONS)  # thumbnails pass by the queue before the models
        self._templates = Environment(loader=FileSystemLoader(PAGES), autoescape=True, trim_blocks=True,
                                      lstrip_blocks=True)

    async def start(self, request: Request) -> Response:
        """The page, nothing asked yet."""
        return self._page(request)

    async def name(self, request: Request) -> Response:
        """Pictures -> answers."""
        try:
            with self._desk.place():
                form, uploads = await read_form(request)
                asked = asked_of(form, self._namer)
                if not uploads:
                    raise Refusal(400, "No picture was sent; choose one first.")
                pictures = [await self._desk.work(partial(self._look, upload, asked), request.is_disconnected)
                            for upload in uploads]
        except Refusal as refusal:
            if refusal.status == 503:
                await drain(request)
            raise
        status = 200 if any("models" in picture for picture in pictures) else pictures[0]["status"]
        shown = _Shown(asked, form.get("labels", ""))
        return self._page(request, shown, status, answers=self._render("answers.html", pictures=pictures))

    def _look(self, upload: Upload, asked: Asked) -> dict:
        """In the worker's thread: what answers.html shows of a picture."""
        shown: dict = {"name": upload.name}
        try:
            check_picture(upload.data)
            shown["thumbnail"] = inline(thumbnail(upload.data))
            notes, shown["models"] = self._namer.name(upload.data, asked)
            shown["notes"] = [*filter(None, [asked.note]), *notes]
        except Refusal as refusal:
            shown |= {"refused": refusal.said, "status": refusal.status}
        except InputError as error:
            shown |= {"refused": str(error), "status": 422}
        return shown

    async def search(self, request: Request) -> Response:
        """Words -> the folder's nearest images."""
        if self._photographs is None:
            raise Refusal(404, "No folder to search was given; start with --photographs FOLDER.")
        words = request.query_params.get("words", "").strip()
        if not words:
            raise Refusal(400, "No words were given to search for.")
        if len(words) > WORDS:
            raise Refusal(413, f"{len(words):,} characters; at most {WORDS} can be searched for.")
        with self._desk.place():
            found = await self._desk.work(partial(self._photographs.search, words), request.is_disconnected)
        shown = _Shown(self._namer.default, "", words)
        return self._page(request, shown, found=self._render("found.html", **found))

    async def photograph(self, request: Request) -> Response:
        """A photograph of the folder, small; addressed by number, so that no path is ever asked for."""
        row = request.path_params["row"]
        if self._photographs is None or row >= len(self._photographs):
            raise HTTPException(404)
        with self._darkroom.place():
            jpeg = await self._darkroom.work(partial(self._photographs.thumbnail, row), request.is_disconnected)
        return Response(jpeg, media_type="image/jpeg")

    async def refused(self, request: Request, error: Exception) -> Response:
        """A sentence, in place of what was asked for."""
        status = getattr(error, "status", getattr(error, "status_code", 422))
        said = getattr(error, "said", getattr(error, "detail", None)) or str(error)
        place = "found" if request.url.path == "/search" else "answers"
        response = self._page(request, status=status, **{place: self._render("refused.html", said=said)})
        if status == 503:
            response.headers["Retry-After"] = "5"
        return response

    async def failed(self, request: Request, error: Exception) -> Response:
        """A fault of ours: a sentence for who asked; the server prints the traceback and goes on."""
        return await self.refused(request, Refusal(500, "This failed by a fault of the program; its window says more."))

    def _render(self, template: str, **values) -> Markup:
        return Markup(self._templates.get_template(template).render(**values))

    def _page(self, request: Request, shown: "_Shown | None" = None, status: int = 200, *, answers: str = "",
              found: str = "") -> Response:
        """The page, or its middle alone: answers to pictures, or what a search found."""
        if "x-fragment" in request.headers:
            return HTMLResponse(answers or found, status)
        namer, photographs = self._namer, self._photographs
        page = self._render("page.html", answers=answers, found=found, chosen=shown or _Shown(namer.default, ""),
                            limits=LIMITS, about=namer.about, own_labels_note=namer.own_labels_note,
                            models=namer.models, label_sets=namer.label_sets,
                            photographs=photographs and photographs.name)
        return HTMLResponse(page, status)


@dataclass(frozen=True)
class _Shown:
    """What the form holds when the page comes back."""

    asked: Asked
    labels: str
    words: str = ""
