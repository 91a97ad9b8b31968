"""Signing in with a token: the browser keeps it in a cookie that no script reads."""

from __future__ import annotations

from saver.documents.pages import Trouble
from saver.pages.page import Address, Answered, Page, Redirect, Visit, local_path
from saver.serve.door import COOKIE
from saver.serve.refusals import Refusal

HOURS = 12
WRONG = "this token is wrong, has expired, or was revoked; copy it whole, or make one with saver token new"


def sign_in(visit: Visit) -> Answered:
    """Keep a token, if it is a good one; otherwise say so, with the form. Raises Refusal after too many."""
    token = visit.form.get("token", "").strip()
    back = local_path(visit.form.get("back", "/"))
    try:
        visit.site.house.gate.known(f"Bearer {token}", visit.client)
    except Refusal as refusal:
        if refusal.status != 401:
            raise
        document = Trouble(error=WRONG, code=refusal.reason, request_id="")
        return Page("sign_in.html", "Sign in", document, {"back": back, "wrong": WRONG}, 401)
    return Redirect(back, cookie=_cookie(visit, token, HOURS * 3600))


def form(visit: Visit) -> Answered:
    """The form; where no token is needed, the models."""
    if visit.site.house.gate.is_open:
        return Redirect("/")
    document = Trouble(error="a token is needed", code="unauthorized", request_id="")
    back = local_path(visit.query("back", "/"))
    return Page("sign_in.html", "Sign in", document, {"back": back, "wrong": ""})


def _to_models(visit: Visit) -> Answered:
    """The button alone signs out: a link of a stranger must not."""
    return Redirect("/")


def sign_out(visit: Visit) -> Answered:
    """Forget the token."""
    return Redirect("/", cookie=_cookie(visit, "", 0))


def _cookie(visit: Visit, token: str, seconds: int) -> str:
    """Lax: a link that somebody shared opens, while no page of a stranger posts with it."""
    secure = "; Secure" if visit.site.secure else ""
    return f"{COOKIE}={token}; Path=/; HttpOnly; SameSite=Lax; Max-Age={seconds}{secure}"


ROUTES = (
    Address("/sign-in", sign_in, None, action=True, keeps=True, form=form),
    Address("/sign-out", sign_out, None, action=True, keeps=True, form=_to_models),
)
