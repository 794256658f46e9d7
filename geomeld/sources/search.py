"""Search: requests to a STAC API that wait when they are asked to, at the pace of the run."""

from typing import Any

import requests
from pystac_client.exceptions import APIError
from pystac_client.stac_api_io import StacApiIO

from geomeld.core.errors import SourceError, TransientError
from geomeld.core.retry import Retry
from geomeld.sources import pace
from geomeld.sources.web import TIMEOUT_S, failure, shown


class PatientIO(StacApiIO):
    """Reads what an API answers; its failures come out as this project's errors."""

    def __init__(self, patience: Retry) -> None:
        super().__init__(timeout=TIMEOUT_S, max_retries=None)
        self.session.hooks["response"].append(self._note)
        self.patience = patience
        self._last: requests.Response | None = None

    def request(
        self,
        href: str,
        method: str | None = None,
        headers: dict[str, str] | None = None,
        parameters: dict[str, Any] | None = None,
    ) -> str:
        """The text of an answer. Raises SourceError and its kinds."""
        return self.patience.call(lambda: self._once(href, method, headers, parameters), href)[0]

    def _once(
        self, href: str, method: str | None, headers: dict[str, str] | None, parameters: dict[str, Any] | None
    ) -> str:
        pace.take(href)
        self._last = None
        try:
            return super().request(href, method, headers, parameters)
        except APIError as error:
            raise self._failure(href, error) from error

    def _failure(self, href: str, error: APIError) -> SourceError:
        if self._last is None:
            return TransientError(f"{shown(href)} did not answer: {error}. Try again later.")
        code, said = self._last.status_code, " ".join(str(error).split())[:300]
        return failure(code, f"{shown(href)} answered {code} ({said})", href, self._last.headers)

    def _note(self, response: requests.Response, *_: Any, **__: Any) -> None:
        self._last = response
