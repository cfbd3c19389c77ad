"""Why setup stops, and what to do about it: a person in front of a terminal reads both."""

from typing import Final

from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError

from shared.core.errors import Refusal

SIGN_IN: Final = "Sign in with `az login` or `azd auth login`, as somebody who may do this, and run the command again."
AGAIN: Final = "Wait a minute and run the command again: it goes on where it stopped."


class Refused(Exception):
    """`what` stands in the way, `remedy` says who can do what about it. Neither ever holds a secret."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(what)
        self.what = what
        self.remedy = remedy


class ChangedMeanwhile(Exception):
    """What was read is no longer so, or Azure is still at work on it: read it again, and decide again."""


def by_azure(error: AzureError, doing: str, role: str) -> Refused:
    """`doing` ends "Azure does not let us …"; `role` is what is missing where Azure says 403."""
    if isinstance(error, ClientAuthenticationError):
        return Refused(f"Azure does not know who wants to {doing}", SIGN_IN)
    if not isinstance(error, HttpResponseError):
        text = f"Azure does not answer when asked to {doing}: {_line(error)}"
        return Refused(text, f"Is this machine online? {AGAIN}")
    match error.status_code:
        case 403:
            remedy = f"You need the role {role}. A role that was given just now counts after some minutes."
            return Refused(f"Azure does not let us {doing}: {_line(error)}", remedy)
        case 429:
            return Refused(f"Azure throttles us: it was asked to {doing}", AGAIN)
        case status if status is not None and status >= 500:
            return Refused(f"Azure fails ({status}) when asked to {doing}: {_line(error)}", AGAIN)
        case status:
            remedy = "Mend what Azure objects to, and run the command again."
            return Refused(f"Azure refuses ({status}) to {doing}: {_line(error)}", remedy)


def by_product(refusal: Refusal, doing: str, remedy: str) -> Refused:
    """A refusal of one of the app's own adapters."""
    said = f"{refusal.public}: {refusal.cause}" if refusal.cause else refusal.public
    return Refused(f"setup cannot {doing}: {said}", remedy)


def _line(error: AzureError) -> str:
    return " ".join(str(error.message).split())[:400]
