"""A gesture that is refused, with a code that the page can act on."""

from __future__ import annotations

from typing import Any

from ..errors import ProjectError

CODES = {
    "bad_request": 400,
    "not_found": 404,
    "locked": 409,
    "accepted": 409,
    "busy": 409,
    "nothing": 409,
    "superseded": 409,
    "too_large": 413,
    "failed": 500,
    "unavailable": 503,
}
"""The codes of the protocol and their HTTP status."""


class Refused(ProjectError):  # noqa: N818 (it is an answer more often than an error)
    """A gesture or request that is not done; `code` is one of `CODES`, `extra` goes into the answer as it is."""

    def __init__(self, code: str, message: str, **extra: Any) -> None:
        super().__init__(message)
        self.code = code
        self.extra = extra

    def to_json(self) -> dict[str, Any]:
        """The error as the page gets it."""
        return {"code": self.code, "message": str(self), **self.extra}
