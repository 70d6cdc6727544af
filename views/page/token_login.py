"""From the token in the printed address to a cookie that no script can read."""

from __future__ import annotations

import secrets

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response


class Login:
    """Lets in whoever opens the address with the token, and from then on has the cookie.

    Args:
        token: in the address, `?token=…`. It is good for one browser; a `chosen` one for any.
        cookie: its name. A browser sends a machine's cookies to all ports, so it names the port.
        chosen: whether a person chose the token.
    """

    def __init__(self, token: str, cookie: str, chosen: bool = False) -> None:
        self._token = token
        self._cookie = cookie
        self._chosen = chosen
        self._used = False
        self._session = secrets.token_urlsafe(32)

    def answer(self, request: Request) -> Response | None:
        """What stands for the page; None: it is shown."""
        if _same(request.cookies.get(self._cookie), self._session):
            return self._without_token(request) if "token" in request.query_params else None
        if not _same(request.query_params.get("token"), self._token):
            return _refuse("open the address that `trackside watch` printed, with its token")
        if self._used:
            return _refuse("this address was opened before; run `trackside watch` again")
        self._used = not self._chosen
        return self._let_in(request)

    def _let_in(self, request: Request) -> Response:
        answer = self._without_token(request)
        answer.set_cookie(
            self._cookie,
            self._session,
            path=f"{request.scope.get('root_path', '')}/",
            secure=request.url.scheme == "https",
            httponly=True,
            samesite="strict",
        )
        return answer

    def _without_token(self, request: Request) -> Response:
        """To the same page; an address that is seen over a shoulder or in a history is no key."""
        return RedirectResponse(f"{request.scope.get('root_path', '')}/", 303)


def _same(given: str | None, right: str) -> bool:
    return given is not None and secrets.compare_digest(given.encode(), right.encode())


def _refuse(why: str) -> Response:
    return PlainTextResponse(f"{why}\n", 403)
