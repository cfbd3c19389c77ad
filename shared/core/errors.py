"""The one family of refusals, drawn by what the caller can do about them.

    Refusal
    ├── Malformed            send something else: the input breaks the form
    ├── Unauthenticated      come with (other) credentials
    ├── Forbidden            known, but not allowed: ask the operator
    ├── NotFound             no such path, label or thing
    ├── MethodNotAllowed     use one of `allow`
    ├── NotOffered           this operation is switched off here
    ├── Conflict             the state does not permit it now
    ├── TooLarge             send less
    ├── Unsupported          send it in another encoding or media type
    ├── Throttled            the same again after `retry_after` seconds
    ├── UpstreamRefused      nothing the caller can do: the operator and DigiCert ONE must
    ├── OutcomeUnknown       the same again after `retry_after` seconds: it may have been done already
    ├── Unavailable          the same again after `retry_after` seconds
    └── Misconfigured        nothing the caller can do: the operator must mend the settings

Nothing here knows HTTP: the table from these classes to statuses is in `functions/http.py`.
"""


class Refusal(Exception):
    """A request that is not done, and why.

    `public` is one line for whoever asked; it never holds a secret, a setting's value or an upstream's words.
    `cause` is for the log alone; `device_id` too, once it is known whom the request was for.
    """

    def __init__(self, public: str, *, cause: str = "") -> None:
        super().__init__(public)
        self.public = public
        self.cause = cause
        self.device_id = ""


class Malformed(Refusal):
    """The input breaks the form it must have."""


class Unauthenticated(Refusal):
    """No credentials, or none that prove anything. `challenge` says that HTTP Basic would be accepted."""

    def __init__(self, public: str, *, challenge: bool, cause: str = "") -> None:
        super().__init__(public, cause=cause)
        self.challenge = challenge


class Forbidden(Refusal):
    """The caller is known, or tried to be, and may not do this."""


class IssuedWhileBlocked(Forbidden):
    """The device was blocked while its certificate was made, which its saga must still take in."""


class NotFound(Refusal):
    """There is no such path, label or thing."""


class MethodNotAllowed(Refusal):
    """The path is right, the method is not."""

    def __init__(self, public: str, *, allow: tuple[str, ...]) -> None:
        super().__init__(public)
        self.allow = allow


class NotOffered(Refusal):
    """The operation exists in the RFC and is switched off here."""


class Conflict(Refusal):
    """The state of things does not permit it now."""


class TooLarge(Refusal):
    """The input is over a limit, which the text names."""


class Unsupported(Refusal):
    """The media type or the content encoding is not one that is read here."""


class Again(Refusal):
    """The same request may succeed after `retry_after` seconds."""

    def __init__(self, public: str, *, retry_after: int, cause: str = "") -> None:
        super().__init__(public, cause=cause)
        self.retry_after = retry_after


class Throttled(Again):
    """Too many requests, here or upstream."""


class DailyLimit(Throttled):
    """The device has had as many certificates today as its profile grants."""


class UpstreamRefused(Refusal):
    """DigiCert ONE refused us, or answered with something that must not be handed on.

    `nothing_issued` is true when it said no in so many words; after garbage a certificate may exist.
    """

    def __init__(self, public: str, *, nothing_issued: bool = False, cause: str = "") -> None:
        super().__init__(public, cause=cause)
        self.nothing_issued = nothing_issued


class OutcomeUnknown(Again):
    """The request may or may not have been done upstream; trying again finds out."""


class Unavailable(Again):
    """Something that is needed does not answer."""


class Misconfigured(Refusal):
    """The settings or the profiles are wrong; `cause` says where."""
