"""Nginx: a folder behind a real web server; byte ranges, signed addresses, limited rates and an API behind it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from geomeld.core.errors import GeoMeldError
from geomeld.testing.http import Request
from geomeld.testing.service import answers_on, free_port, lacking, private_folder, program, running

CONFIGURATION = """
{user}
daemon off;
worker_processes 1;
pid {private}/nginx.pid;
error_log {private}/errors.txt warn;
events {{ worker_connections 512; }}
http {{
  log_format asked '$request_method\\t$uri\\t$http_range\\t$status\\t$body_bytes_sent';
  access_log {private}/asked.txt asked;
  client_body_temp_path {private}/body;
  proxy_temp_path {private}/proxy;
  fastcgi_temp_path {private}/fastcgi;
  uwsgi_temp_path {private}/uwsgi;
  scgi_temp_path {private}/scgi;
  default_type application/octet-stream;
  types {{ application/json json; image/tiff tif; }}
  {rate}
  server {{
    listen 127.0.0.1:{port};
    client_max_body_size 64m;
    location /files/ {{ alias {folder}/; }}
    location ~ ^/signed/(?<container>[^/]+)/(?<rest>.*)$ {{
      secure_link $arg_sig,$arg_se;
      secure_link_md5 "$secure_link_expires$container {secret}";
      if ($secure_link = "") {{ return 403; }}
      if ($secure_link = "0") {{ return 403; }}
      alias {folder}/$container/$rest;
    }}
    {api}
  }}
}}
"""

API = """
    location / {{
      {limit}
      proxy_pass {address};
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-Proto http;
      proxy_set_header X-Forwarded-Port {port};
    }}
    location @patience {{ add_header Retry-After 1 always; return 429; }}
"""


LIMIT = "limit_req zone=api; limit_req_status 429; error_page 429 = @patience;"


@dataclass(frozen=True, slots=True)
class Nginx:
    """A running web server."""

    url: str
    """Address of its root, without a slash at its end: an API is there, where one is given."""
    log: Path

    @property
    def files(self) -> str:
        """Address of the folder."""
        return f"{self.url}/files"

    @property
    def signed(self) -> str:
        """Address of the folder whose every path needs the token of its first part."""
        return f"{self.url}/signed"

    def asked(self) -> list[tuple[Request, int, int]]:
        """Every request so far with the code and the number of bytes of its answer."""
        found = []
        for line in self.log.read_text().splitlines():
            method, path, ranged, code, size = line.split("\t")
            request = Request(method, path.lstrip("/"), None if ranged == "-" else ranged)
            found.append((request, int(code), int(size)))
        return found


@contextmanager
def nginx(folder: Path, *, api: str | None = None, per_second: int | None = None, secret: str = "") -> Iterator[Nginx]:
    """Serve a folder on a free port until the block is left.

    `api` is the address of a server that answers all other paths; it takes `per_second` requests a second, and the
    others are told by 429 to wait a second. `secret` signs what is under `/signed/` (see geomeld.testing.tokens).
    Raises GeoMeldError where nginx is not installed or does not start.
    """
    command = program("nginx")
    if command is None:
        raise GeoMeldError(f"{lacking('nginx')}.")
    with private_folder() as private:
        port = free_port()
        rate = "" if per_second is None else f"limit_req_zone $server_port zone=api:1m rate={per_second}r/s;"
        limit = LIMIT if rate else ""
        text = CONFIGURATION.format(
            user="user root;" if os.geteuid() == 0 else "",  # a test's folder is closed to others
            private=private,
            folder=folder,
            port=port,
            secret=secret,
            rate=rate,
            api="" if api is None else API.format(address=api, limit=limit, port=port),
        )
        (private / "nginx.conf").write_text(text)
        words = [command, "-p", str(private), "-c", str(private / "nginx.conf"), "-e", str(private / "errors.txt")]
        with running(words, private / "log.txt", lambda: answers_on(port)):
            yield Nginx(f"http://127.0.0.1:{port}", private / "asked.txt")
