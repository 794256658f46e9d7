"""StacApi: stac-fastapi over pgstac over PostgreSQL with PostGIS, a real STAC API on the loopback interface."""

import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from geomeld.testing.postgres import OWNER, postgres
from geomeld.testing.service import answers_on, free_port, lacking, private_folder, running

PACKAGES = ("stac_fastapi.pgstac", "pypgstac", "psycopg", "uvicorn")


@dataclass(frozen=True, slots=True)
class StacApi:
    """A running STAC API."""

    url: str
    """Address of its landing page, without a slash at its end."""
    dsn: str
    """Address of its database."""

    def load(self, collections: Iterable[dict[str, Any]] = (), items: Iterable[dict[str, Any]] = ()) -> None:
        """Add collections and items (STAC JSON), or replace those of the same identifiers."""
        with _quietly():
            from pypgstac.db import PgstacDB
            from pypgstac.load import Loader, Methods

            with PgstacDB(dsn=self.dsn) as database:
                loader = Loader(db=database)
                for batch, load in ((collections, loader.load_collections), (items, loader.load_items)):
                    if found := list(batch):
                        load(iter(found), Methods.upsert)


def lacking_for_api() -> str:
    """Why tests with a STAC API are left out; empty where they can run."""
    absent = [name for name in PACKAGES if not _is_there(name)]
    if absent:
        return f"{', '.join(absent)} not installed: pip install 'geomeld[services]'"
    postgis = list(Path("/usr/share/postgresql").glob("*/extension/postgis.control"))
    return lacking("initdb", "postgres") or ("" if postgis else "PostGIS not installed: `make services` brings it")


def _is_there(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False


@contextmanager
def _quietly() -> Iterator[None]:
    """What warns in here are pypgstac and what it imports."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _migrate(dsn: str) -> None:
    """Lay out pgstac's tables in a database."""
    with _quietly():
        from pypgstac.db import PgstacDB
        from pypgstac.migrate import Migrate

        with PgstacDB(dsn=dsn) as connection:
            Migrate(connection).run_migration()


@contextmanager
def stac_api() -> Iterator[StacApi]:
    """An empty STAC API until the block is left; fill it with `StacApi.load`.

    Raises GeoMeldError where a part of it is not installed or does not start.
    """
    with postgres() as database, private_folder() as folder:
        dsn = f"postgresql://{OWNER}:none@127.0.0.1:{database}/postgres"
        _migrate(dsn)
        port = free_port()
        command = [sys.executable, "-m", "uvicorn", "stac_fastapi.pgstac.app:create_app", "--factory"]
        command += ["--host", "127.0.0.1", "--port", str(port), "--no-access-log"]
        environment = {
            "PGHOST": "127.0.0.1",
            "PGPORT": str(database),
            "PGUSER": OWNER,
            "PGPASSWORD": "none",
            "PGDATABASE": "postgres",
            "DB_MAX_CONN_SIZE": "4",
        }
        with running(command, folder / "log.txt", lambda: answers_on(port), environment=environment):
            yield StacApi(f"http://127.0.0.1:{port}", dsn)
