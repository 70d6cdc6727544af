"""Exchange the token of the printed address for a cookie that scripts cannot read."""

from __future__ import annotations

import secrets

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response


class TokenLogin:
    """Logs in a browser that opens the address with the token; a cookie keeps it logged in.

    Args:
        token: the value of `?token=…` in the address.
        cookie: its name. A browser sends a host's cookies to all its ports: include the port.
        reusable: whether the token logs in any number of browsers, or only one.
    """

    def __init__(self, token: str, cookie: str, reusable: bool = False) -> None:
        self._token = token
        self._cookie = cookie
        self._reusable = reusable
        self._used = False
        self._session = secrets.token_urlsafe(32)

    def response(self, request: Request) -> Response | None:
        """The response to send instead of the page; None if the request may see the page."""
        if _same(request.cookies.get(self._cookie), self._session):
            return self._without_token(request) if "token" in request.query_params else None
        if not _same(request.query_params.get("token"), self._token):
            return _refuse("open the address that `trackside watch` printed, with its token")
        if self._used:
            return _refuse("this address was opened before; run `trackside watch` again")
        self._used = not self._reusable
        return self._log_in(request)

    def _log_in(self, request: Request) -> Response:
        response = self._without_token(request)
        response.set_cookie(
            self._cookie,
            self._session,
            path=f"{request.scope.get('root_path', '')}/",
            secure=request.url.scheme == "https",
            httponly=True,
            samesite="strict",
        )
        return response

    def _without_token(self, request: Request) -> Response:
        """Redirect to the page; the address in the browser and its history has no token then."""
        return RedirectResponse(f"{request.scope.get('root_path', '')}/", 303)


def _same(given: str | None, expected: str) -> bool:
    return given is not None and secrets.compare_digest(given.encode(), expected.encode())


def _refuse(why: str) -> Response:
    return PlainTextResponse(f"{why}\n", 403)
