"""The pages behind the links in mails. To look changes nothing; only the form on the page acts.

Programs that check mail follow links (GET, HEAD), so neither of these decides, answers, or uses a link up. The token in
the path says who asks; there is no cookie that another site could borrow.
"""

from __future__ import annotations

import logging
from typing import Any
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from remit.bootstrap import Services
from remit.errors import InvalidInput, RemitError
from remit.governance.links import LinkKey
from remit.surfaces.http import forms
from remit.surfaces.mail.links import Links, Page
from remit.surfaces.mail.templating import STYLE, TEMPLATES

log = logging.getLogger(__name__)

HEADERS = {
    # form-action is not covered by default-src.
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex, nofollow, noarchive",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""On every answer: nothing is loaded from elsewhere, framed, kept, indexed, or told to other sites."""


def routes(services: Services, key: LinkKey) -> list[BaseRoute]:
    """The routes below `/links/`."""
    links = Links(services, key)
    origin = _origin(services.declared.server.url)

    async def show(request: Request) -> Response:
        return await run_in_threadpool(_rendered, lambda: links.show(request.path_params["token"]))

    async def act(request: Request) -> Response:
        token = request.path_params["token"]
        if not _same_site(request, origin):
            return await run_in_threadpool(_rendered, lambda: links.refuse(token, "another_site"))
        try:
            sent = forms.read(await _body(request), request.headers.get("content-type", ""))
        except ClientDisconnect:
            return Response(status_code=400)
        except InvalidInput as wrong:
            return _page(_apology(wrong))
        done = await run_in_threadpool(_rendered, lambda: links.act(token, sent))
        if done.status_code == 200:
            # So that to reload the page sends nothing again.
            return RedirectResponse(token, status_code=303, headers=HEADERS)
        return done

    return [
        Route("/links/style.css", _style, methods=["GET"]),
        Route("/links/{token}", show, methods=["GET"]),
        Route("/links/{token}", act, methods=["POST"]),
    ]


def _style(_: Request) -> Response:
    return Response(STYLE, media_type="text/css", headers={**HEADERS, "Cache-Control": "public, max-age=3600"})


def _rendered(make: Any) -> Response:
    """The page, or an apology with what to do about it; never a traceback."""
    try:
        return _page(make())
    except RemitError as error:
        return _page(_apology(error))
    except Exception:
        log.exception("a link's page failed")
        return _page(Page(500, "This did not work", "Something went wrong here. Nothing was changed.", tone="bad"))


def _page(page: Page) -> Response:
    html = TEMPLATES.get_template("page.html").render(page=page)
    return Response(html, page.status, headers=HEADERS, media_type="text/html")


def _apology(error: RemitError) -> Page:
    return Page(error.http_status, "This did not work", error.message, note=error.advice, tone="bad")


async def _body(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > forms.MAX_BODY:
            raise InvalidInput("that is too much text", advice=f"At most {forms.MAX_BODY // 1024} KiB are taken.")
    return body


def _same_site(request: Request, origin: str) -> bool:
    """False if a browser says that another site has sent this form.

    Browsers send `Sec-Fetch-Site` to https and to this machine only. Elsewhere there is `Origin`, and the pages' own
    `no-referrer` makes that `null`: then it is the seal in the form that another site cannot have.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    said = request.headers.get("origin")
    here = f"{request.url.scheme}://{request.headers.get('host', '')}"
    return said in {None, "null", origin, here}


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
