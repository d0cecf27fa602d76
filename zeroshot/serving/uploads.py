"""A request's form, read within limits and in memory alone: nothing of the user's touches the disk."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from zeroshot.serving.limits import (
    DRAINED_BYTES,
    FIELD_BYTES,
    MEBI,
    PICTURE_BYTES,
    PICTURES,
    REQUEST_BYTES,
    UPLOAD_SECONDS,
    Refusal,
)

FIELDS = 50
ESCAPED = {"%22": '"', "%0D": "\r", "%0A": "\n"}  # in a file's name, by the HTML standard: these, and not even %


class _InMemory(MultiPartParser):
    spool_max_size = REQUEST_BYTES + 1  # starlette's own is 1 MB, from where on it writes to a temporary file


@dataclass(frozen=True)
class Upload:
    """A file that was sent.

    Attributes:
        name: what the browser calls it, without folders; shown, never opened.
        data: its bytes.
    """

    name: str
    data: bytes


async def read_form(request: Request) -> tuple[FormData, list[Upload]]:
    """Read a multipart form.

    Returns:
        its fields, all of them text, and the files named `picture`, in order.

    Raises:
        Refusal: too large, too slow, or no such form; a body within reason is read to its end all the same, so that the
            browser hears the refusal.
    """
    try:
        async with asyncio.timeout(UPLOAD_SECONDS):
            form = await _parse(request)
            return FormData(_texts(form)), await _uploads(form)
    except TimeoutError:
        raise Refusal(408, f"The upload took longer than {UPLOAD_SECONDS} seconds.") from None


async def _parse(request: Request) -> FormData:
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > REQUEST_BYTES:
        await drain(request)
        raise too_large()
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        await drain(request)
        raise Refusal(415, "A form was expected (multipart/form-data), with files named `picture`.")
    chunks = _limited(request.stream())
    try:
        return await _InMemory(request.headers, chunks, max_files=PICTURES, max_fields=FIELDS,
                               max_part_size=FIELD_BYTES).parse()
    except (MultiPartException, AssertionError) as error:
        async for _ in chunks:
            pass
        raise Refusal(400, f"The form cannot be read: {getattr(error, 'message', 'it is damaged')}"[:200]) from None


async def _limited(stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The body's chunks; one that declares no length is cut off where it passes the limit."""
    total = 0
    async for chunk in stream:
        if (total := total + len(chunk)) <= REQUEST_BYTES:
            yield chunk
        elif total > DRAINED_BYTES:
            break
    if total > REQUEST_BYTES:
        raise too_large()


async def drain(request: Request) -> None:
    """Read a body and forget it: browsers take an answer only when they have sent all."""
    total = 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(UPLOAD_SECONDS):
            async for chunk in request.stream():
                if (total := total + len(chunk)) > DRAINED_BYTES:
                    return


def too_large() -> Refusal:
    return Refusal(413, f"The request is larger than {REQUEST_BYTES // MEBI} MB; a picture may have "
                        f"{PICTURE_BYTES // MEBI} MB.")


def _texts(form: FormData) -> list[tuple[str, str]]:
    return [(key, value) for key, value in form.multi_items() if isinstance(value, str)]


async def _uploads(form: FormData) -> list[Upload]:
    """The files; an input left empty sends one without name or bytes, which is none."""
    files = [value for value in form.getlist("picture") if isinstance(value, UploadFile)]
    read = [Upload(shown_name(file.filename or ""), await file.read()) for file in files if file.filename or file.size]
    await form.close()
    return read


def shown_name(sent: str) -> str:
    """A file's own name, without folders, cut, with ? for what cannot be printed."""
    for escape, letter in ESCAPED.items():
        sent = sent.replace(escape, letter)
    last = sent.replace("\\", "/").rpartition("/")[2][:80]
    return "".join(letter if letter.isprintable() else "?" for letter in last) or "picture"
