"""EarthEngine: the simulated Earth behind the REST API of Earth Engine, for its real client, with faults at will."""

import datetime as dt
import http.server
import importlib.util
import io
import json
import re
import threading
import time
import urllib.parse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from geomeld.core.grid import Grid
from geomeld.core.modality import Modality, Resampling
from geomeld.modalities import MODALITIES
from geomeld.sources.combine import ORBIT_SUFFIX
from geomeld.sources.ee_products import PRODUCTS, Product
from geomeld.sources.simulated import SimulatedSource
from geomeld.sources.simulated.products import PRODUCTS as SIMULATED
from geomeld.sources.source import Scene
from geomeld.testing.ee_graph import Band, Bands, Refused, bands_of

PUBLIC = "projects/earthengine-public/assets/"
EVER = dt.datetime(1970, 1, 1, tzinfo=dt.UTC), dt.datetime(2100, 1, 1, tzinfo=dt.UTC)
TOKEN = "token-of-the-double"

POWER = frozenset({"COPERNICUS/S1_GRD_FLOAT"})
"""Assets that hold the power itself, not its decibels."""

FROM_ZERO = {"GOOGLE/DYNAMICWORLD/V1": 1}
"""Assets whose classes are numbered from 0: what their numbers lack of this project's."""

MASKED = {"JRC/GSW1_4/GlobalSurfaceWater": 0}
"""Assets that mask a value which means something."""

ACCOUNT = "tester@example.iam.gserviceaccount.com"


@dataclass
class EarthEngine:
    """A running double. The faults may be changed at any time."""

    url: str
    seed: int
    faults: list[tuple[int, str]] = field(default_factory=list)
    """(code, message) that the next requests for pixels are answered with."""
    cut: list[int] = field(default_factory=list)
    """Bytes of the next answers with pixels that are sent as if they were all."""
    memory: int | None = None
    """Bands above which a request exceeds the user's memory limit."""
    at_once: int | None = None
    """Requests for pixels above which one is refused (429)."""
    expired: bool = False
    """Whether the login is refused."""
    asked: list[tuple[str, Any]] = field(default_factory=list)
    """(what, content) of every request for scenes or pixels."""
    scenes: dict[str, Scene] = field(default_factory=dict)
    """Scenes that were listed, by asset."""
    busy: int = 0
    most: int = 0
    """Requests for pixels under way, now and at most."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def key_file(self, path: Path) -> Path:
        """A key of a service account that the double knows, for GOOGLE_APPLICATION_CREDENTIALS."""
        key = _private_key()
        about = {"type": "service_account", "client_email": ACCOUNT, "private_key": key, "private_key_id": "1"}
        path.write_text(json.dumps({**about, "token_uri": f"{self.url}/token", "project_id": "earth-project"}))
        return path


@cache
def _private_key() -> str:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(*form).decode()


@contextmanager
def earth_engine(seed: int) -> Iterator[EarthEngine]:
    """Serve the simulated Earth of a seed as Earth Engine on a free port of 127.0.0.1 until the block is left."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as listener:
        double = EarthEngine(f"http://127.0.0.1:{listener.server_port}", seed)
        listener.RequestHandlerClass = type("Handler", (_Handler,), {"double": double})
        thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield double
        finally:
            listener.shutdown()
            thread.join()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    double: EarthEngine

    def log_message(self, *words: object) -> None:
        """Nothing: what was asked is in `EarthEngine.asked`."""

    def do_GET(self) -> None:
        self._answer(None)

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers.get("Content-Length") or 0)))

    def _answer(self, body: bytes | None) -> None:
        path, _, query = self.path.partition("?")
        try:
            if path.endswith("/token"):
                self._say(200, _json({"access_token": TOKEN, "expires_in": 3600, "token_type": "Bearer"} | _no(self)))
                return
            if self.headers.get("Authorization") != f"Bearer {TOKEN}" or self.double.expired:
                raise Refused(401, "Request had invalid authentication credentials.")
            self._say(200, self._result(path, dict(urllib.parse.parse_qsl(query)), body))
        except Refused as refused:
            told = {"error": {"code": refused.code, "message": str(refused), "status": "REFUSED"}}
            self._say(refused.code, _json({"error": str(refused)} if path.endswith("/token") else told))

    def _result(self, path: str, query: Mapping[str, str], body: bytes | None) -> bytes:
        if path.startswith("/$discovery"):
            return _json(_discovery(self.double.url))
        if path.endswith("/algorithms"):
            return _part_of_library("algorithms.json").read_bytes()
        if path.endswith(":listAssets"):
            asset = urllib.parse.unquote(path).partition("/assets/")[2].removesuffix(":listAssets")
            self.double.asked.append(("scenes", {"asset": asset, **query}))
            return _json({"assets": _listed(self.double, asset, query)})
        if path.endswith("/image:computePixels") and body is not None:
            return self._pixels(json.loads(body))
        raise Refused(404, f"There is nothing at {path}.")

    def _pixels(self, request: dict[str, Any]) -> bytes:
        double = self.double
        with double.lock:
            double.asked.append(("pixels", request))
            double.busy += 1
            double.most = max(double.most, double.busy)
            crowded = double.at_once is not None and double.busy > double.at_once
            fault = double.faults.pop(0) if double.faults else None
        try:
            if crowded:
                time.sleep(0.05)
                raise Refused(429, "Too many concurrent aggregations.")
            if fault:
                raise Refused(*fault)
            data = pixels(double, request)
        finally:
            with double.lock:
                double.busy -= 1
        return data[: double.cut.pop(0)] if double.cut else data

    def _say(self, code: int, body: bytes) -> None:
        self.send_response(code)
        self.send_header("Content-Type", "application/octet-stream" if body[:6] == b"\x93NUMPY" else "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        try:
            self.wfile.write(body)
        except ConnectionError:
            self.close_connection = True


def _no(handler: _Handler) -> dict[str, Any]:
    if handler.double.expired:
        raise Refused(400, "invalid_grant")
    return {}


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


def _part_of_library(name: str) -> Path:
    spec = importlib.util.find_spec("ee")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "tests" / name


def _discovery(url: str) -> dict[str, Any]:
    """The description of the API that comes with the library, with two parameters that the service has and it lacks."""
    document = json.loads(_part_of_library("cloud_api_discovery_document.json").read_text())
    lists = document["resources"]["projects"]["resources"]["assets"]["methods"]["listAssets"]["parameters"]
    lists |= {name: {"location": "query", "type": "string"} for name in ("filter", "view")}
    return {**document, "rootUrl": f"{url}/", "baseUrl": f"{url}/"}


def _listed(double: EarthEngine, asset: str, query: Mapping[str, str]) -> list[dict[str, Any]]:
    """The images of a collection that a query asks for."""
    product = next((p for p in PRODUCTS.values() if p.asset == asset and p.kind == "dated"), None)
    if product is None:
        raise Refused(404, f"Asset {asset} is no collection.")
    found = re.fullmatch(
        r'(?:(?P<filter>properties\.\S+ = "\w+") AND )?startTime >= "(?P<start>[^"]+)" AND endTime < "(?P<end>[^"]+)" '
        r'AND intersects\("(?P<region>[^"]+)"\)',
        query.get("filter", ""),
    )
    if found is None or (found["filter"] or "") != product.filter or query.get("view") != "FULL":
        raise Refused(400, f"The double does not understand {dict(query)}.")
    region = shapely.geometry.shape(json.loads(found["region"].replace("'", '"')))
    grid = Grid.centred_on(region.centroid.x, region.centroid.y)
    start, end = (dt.datetime.fromisoformat(found[k]) for k in ("start", "end"))
    source = SimulatedSource(double.seed)
    made = source.scenes(MODALITIES[product.modality], grid, start, end)
    for scene in made:
        double.scenes[f"{asset}/{scene.scene_id}"] = scene
    return [_image(asset, product, scene) for scene in made]


def _image(asset: str, product: Product, scene: Scene) -> dict[str, Any]:
    assert scene.acquired is not None
    rasters = SIMULATED[product.modality].rasters_of(scene)
    properties: dict[str, Any] = {"CLOUDY_PIXEL_PERCENTAGE": scene.cloud_cover} if scene.cloud_cover is not None else {}
    properties |= {"orbitProperties_pass": scene.orbit.upper(), "instrumentMode": "IW"} if scene.orbit else {}
    properties |= {"PROCESSING_BASELINE": scene.properties["baseline"]} if "baseline" in scene.properties else {}
    stamp = scene.acquired.isoformat().replace("+00:00", "Z")
    return {
        "type": "IMAGE",
        "name": f"{PUBLIC}{asset}/{scene.scene_id}",
        "id": f"{asset}/{scene.scene_id}",
        "startTime": stamp,
        "endTime": stamp,
        "geometry": shapely.geometry.mapping(scene.footprint),
        "properties": properties,
        "bands": [
            {
                "id": product.bands[band],
                "grid": {"crsCode": f"EPSG:{scene.epsg}", "affineTransform": {"scaleX": r.pixel, "scaleY": -r.pixel}},
            }
            for r in rasters
            for band in r.bands
            if band in product.bands
        ],
    }


def pixels(double: EarthEngine, request: Mapping[str, Any]) -> bytes:
    """The bytes that answer a request for pixels. Raises Refused for one that Earth Engine, or the double, refuses."""
    if request.get("fileFormat") != "NPY":
        raise Refused(400, f"The double sends NPY, not {request.get('fileFormat')}.")
    bands = bands_of(request["expression"])
    if double.memory is not None and len(bands) > double.memory:
        raise Refused(400, "User memory limit exceeded.")
    if len({b.name for b in bands}) < len(bands):
        raise Refused(400, "Two bands have one name.")
    grid = _grid(request.get("grid") or {})
    earth = _Earth(double, grid)
    arrays = [earth.array(band) for band in bands]
    table = np.zeros(grid.shape, dtype=[(b.name, a.dtype) for b, a in zip(bands, arrays, strict=True)])
    for band, array in zip(bands, arrays, strict=True):
        table[band.name] = array
    out = io.BytesIO()
    np.save(out, table)
    return out.getvalue()


def _grid(given: Mapping[str, Any]) -> Grid:
    try:
        t, size = given["affineTransform"], given["dimensions"]
        assert size["width"] == size["height"]
        assert t["scaleX"] == -t["scaleY"]
        assert t.get("shearX", 0) == t.get("shearY", 0) == 0
        epsg = int(given["crsCode"].removeprefix("EPSG:"))
        return Grid(epsg, t["translateX"], t["translateY"], t["scaleX"], size["width"])
    except (KeyError, AssertionError, ValueError):
        raise Refused(400, f"The grid {given} is not stated in full, or is not square and north-up.") from None


@dataclass(slots=True)
class _Earth:
    """The simulated Earth on one grid."""

    double: EarthEngine
    grid: Grid
    layers: dict[str, Any] = field(default_factory=dict)

    def array(self, band: Band) -> NDArray:
        """The pixels of a band, masked ones filled as asked, and 0 where nothing was."""
        product, scenes = self._found(band.asset)
        modality = MODALITIES[product.modality]
        kernels = {"bilinear": Resampling.BILINEAR, "nearest": Resampling.NEAREST}
        wanted = (
            Resampling.BILINEAR if modality.resampling is Resampling.AVERAGE_WHEN_COARSENING else modality.resampling
        )
        if kernels.get(band.kernel) is not wanted or band.nodata != product.nodata:
            raise Refused(400, f"{band} is not how {product.modality} is to be read.")
        if band.asset not in self.layers:
            earth = SimulatedSource(self.double.seed)
            self.layers[band.asset] = earth.read(modality, scenes, self.grid)
        layer = self.layers[band.asset]
        fill = 0 if band.beyond is None else band.beyond
        if layer is None:
            return np.full(self.grid.shape, fill, band.dtype)
        values, valid = layer.band(self._name(band, product, modality, scenes))
        values = values.astype(np.float32)
        if product.asset in POWER:
            values = 10 ** (values / 10)
        values = values - FROM_ZERO.get(product.asset, 0)
        if product.asset in MASKED:
            seen = valid & (values != MASKED[product.asset])
            if band.within is not None:
                values, seen = np.where(seen, values, band.within), valid
            valid = seen
        return np.where(valid, values, fill).astype(band.dtype)

    def _found(self, asset: str) -> tuple[Product, list[Scene]]:
        for product in PRODUCTS.values():
            if product.kind != "dated" and asset in (product.asset, *product.elsewhere.values()):
                scenes = SimulatedSource(self.double.seed).scenes(MODALITIES[product.modality], self.grid, *EVER)
                return product, scenes
            if product.kind == "dated" and asset.startswith(f"{product.asset}/") and asset in self.double.scenes:
                return product, [self.double.scenes[asset]]
        raise Refused(
            404, f"Image.load: Image asset '{asset}' not found (does not exist or caller does not have access)."
        )

    def _name(self, band: Band, product: Product, modality: Modality, scenes: list[Scene]) -> str:
        home = {own: product.elsewhere.get(own, product.asset) for own in product.bands}
        dated = product.kind == "dated"
        found = [o for o, s in product.bands.items() if s == band.stored and (dated or home[o] == band.asset)]
        if len(found) != 1:
            raise Refused(400, f"Image.select: Pattern '{band.stored}' did not match any bands.")
        if band.steep:
            return next(slope for slope, origin in product.derived.items() if origin == found[0])
        return found[0] + ORBIT_SUFFIX[scenes[0].orbit if dated else None]


def expressions(double: EarthEngine) -> list[Bands]:
    """What the requests for pixels asked for, band by band."""
    return [bands_of(request["expression"]) for what, request in double.asked if what == "pixels"]
