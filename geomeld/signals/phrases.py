"""The table of phrases: which map tags become which words, and how large a thing must be to be seen."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Phrase:
    """One kind of map object."""

    concept: str
    """Concept of the claim lexicon."""
    phrase: str
    """Singular noun phrase without an article."""
    plural: str
    tags: tuple[tuple[str, tuple[str, ...]], ...]
    """All keys must match one of their values; () matches any value."""
    size: float
    """Typical smallest side, or width of a line, in metres."""
    salience: float
    """Weight in the choice of what to mention, 0..1."""


def _p(concept: str, phrase: str, plural: str, size: float, salience: float, **tags: str) -> Phrase:
    pairs = tuple((k.replace("__", ":"), tuple(v.split()) if v != "*" else ()) for k, v in tags.items())
    return Phrase(concept, phrase, plural, pairs, size, salience)


PHRASES: tuple[Phrase, ...] = (
    _p("solar_farm", "solar panel farm", "solar panel farms", 100, 1.0, power="plant", plant__source="solar"),
    _p("solar_farm", "solar panel farm", "solar panel farms", 60, 0.9, power="generator", generator__source="solar"),
    _p("wind_turbine", "wind turbine", "wind turbines", 4, 0.7, power="generator", generator__source="wind"),
    _p("power_plant", "power plant", "power plants", 100, 0.9, power="plant"),
    _p("substation", "electrical substation", "electrical substations", 40, 0.5, power="substation"),
    _p("power_line", "power line", "power lines", 1, 0.2, power="line"),
    _p("storage_tank", "storage tank", "storage tanks", 30, 0.9, man_made="storage_tank"),
    _p("wastewater", "water treatment plant", "water treatment plants", 60, 0.7, man_made="wastewater_plant"),
    _p("pier", "pier", "piers", 5, 0.7, man_made="pier breakwater groyne"),
    _p("dam", "dam", "dams", 10, 0.8, waterway="dam weir"),
    _p("bridge", "bridge", "bridges", 8, 0.6, man_made="bridge"),
    _p("bridge", "bridge", "bridges", 8, 0.6, bridge="yes viaduct", highway="*"),
    _p("bridge", "railway bridge", "railway bridges", 8, 0.7, bridge="yes viaduct", railway="*"),
    _p("runway", "runway", "runways", 25, 0.9, aeroway="runway"),
    _p("airfield", "airfield", "airfields", 200, 1.0, aeroway="aerodrome"),
    _p("greenhouse", "greenhouse", "greenhouses", 30, 0.8, landuse="greenhouse_horticulture"),
    _p("greenhouse", "greenhouse", "greenhouses", 15, 0.6, building="greenhouse"),
    _p("quarry", "quarry", "quarries", 60, 0.9, landuse="quarry"),
    _p("landfill", "landfill", "landfills", 80, 0.7, landuse="landfill"),
    _p("orchard", "orchard", "orchards", 50, 0.8, landuse="orchard"),
    _p("vineyard", "vineyard", "vineyards", 50, 0.8, landuse="vineyard"),
    _p("golf_course", "golf course", "golf courses", 100, 0.9, leisure="golf_course"),
    _p("stadium", "stadium", "stadiums", 60, 0.9, leisure="stadium"),
    _p("marina", "marina", "marinas", 40, 0.9, leisure="marina"),
    _p("park", "park", "parks", 60, 0.5, leisure="park garden"),
    _p("sports_pitch", "sports pitch", "sports pitches", 20, 0.4, leisure="pitch track"),
    _p("swimming_pool", "swimming pool", "swimming pools", 4, 0.2, leisure="swimming_pool"),
    _p("reservoir", "reservoir", "reservoirs", 40, 0.9, natural="water", water="reservoir basin"),
    _p("reservoir", "reservoir", "reservoirs", 40, 0.9, landuse="reservoir basin"),
    _p("lake", "lake", "lakes", 40, 0.8, natural="water", water="lake"),
    _p("pond", "pond", "ponds", 15, 0.5, natural="water", water="pond"),
    _p("river", "river", "rivers", 10, 0.8, natural="water", water="river"),
    _p("water", "body of water", "bodies of water", 20, 0.6, natural="water"),
    _p("river", "river", "rivers", 12, 0.8, waterway="river riverbank"),
    _p("canal", "canal", "canals", 8, 0.7, waterway="canal"),
    _p("stream", "stream", "streams", 2, 0.3, waterway="stream ditch drain"),
    _p("coast", "coast", "coasts", 20, 0.9, natural="coastline"),
    _p("beach", "beach", "beaches", 20, 0.9, natural="beach"),
    _p("wetland", "wetland", "wetlands", 40, 0.6, natural="wetland"),
    _p("glacier", "glacier", "glaciers", 60, 0.9, natural="glacier"),
    _p("forest", "patch of woodland", "patches of woodland", 40, 0.4, natural="wood"),
    _p("forest", "forest", "forests", 60, 0.4, landuse="forest"),
    _p("scrub", "scrub", "scrub", 40, 0.3, natural="scrub heath"),
    _p("grassland", "grassland", "grasslands", 40, 0.3, natural="grassland fell"),
    _p("bare", "bare rock", "bare rocks", 30, 0.4, natural="bare_rock scree sand shingle"),
    _p("cliff", "cliff", "cliffs", 5, 0.4, natural="cliff"),
    _p("farmland", "farmland", "farmland", 60, 0.4, landuse="farmland"),
    _p("meadow", "meadow", "meadows", 40, 0.4, landuse="meadow"),
    _p("farmyard", "farmyard", "farmyards", 25, 0.6, landuse="farmyard"),
    _p("residential", "residential area", "residential areas", 60, 0.7, landuse="residential"),
    _p("industrial", "industrial area", "industrial areas", 60, 0.8, landuse="industrial"),
    _p("commercial", "commercial area", "commercial areas", 60, 0.7, landuse="commercial retail"),
    _p("cemetery", "cemetery", "cemeteries", 40, 0.6, landuse="cemetery"),
    _p("military", "military area", "military areas", 100, 0.6, landuse="military"),
    _p("construction", "construction site", "construction sites", 40, 0.6, landuse="construction"),
    _p("salt_pond", "salt pond", "salt ponds", 40, 0.8, landuse="salt_pond"),
    _p("aquaculture", "fish farm", "fish farms", 40, 0.8, landuse="aquaculture"),
    _p("highway", "major highway", "major highways", 22, 0.8, highway="motorway trunk"),
    _p("main_road", "main road", "main roads", 10, 0.7, highway="primary secondary"),
    _p("road", "road", "roads", 7, 0.6, highway="tertiary unclassified"),
    _p("street", "residential street", "residential streets", 6, 0.3, highway="residential living_street"),
    _p("street", "service road", "service roads", 4, 0.2, highway="service"),
    _p("track", "dirt track", "dirt tracks", 3, 0.2, highway="track"),
    _p("footpath", "footpath", "footpaths", 1.5, 0.1, highway="footway path cycleway pedestrian steps"),
    _p("railway", "railway line", "railway lines", 8, 0.8, railway="rail light_rail narrow_gauge"),
    _p("station", "railway station", "railway stations", 20, 0.6, railway="station halt"),
    _p("parking", "parking lot", "parking lots", 40, 0.4, amenity="parking"),
    _p("school", "school", "schools", 40, 0.4, amenity="school college university"),
    _p("hospital", "hospital", "hospitals", 40, 0.4, amenity="hospital"),
    _p("church", "church", "churches", 15, 0.3, building="church cathedral chapel mosque temple"),
    _p("industrial_building", "industrial building", "industrial buildings", 30, 0.6, building="industrial warehouse"),
    _p("farm_building", "farm building", "farm buildings", 15, 0.5, building="farm barn farm_auxiliary"),
    _p("house", "house", "houses", 9, 0.4, building="house residential detached terrace apartments"),
    _p("building", "building", "buildings", 9, 0.4, building="*"),
    _p("town", "town", "towns", 400, 0.6, place="town city"),
    _p("village", "village", "villages", 200, 0.6, place="village"),
    _p("hamlet", "hamlet", "hamlets", 80, 0.5, place="hamlet isolated_dwelling"),
)
"""First match wins, so that narrow rows stand before broad ones."""

KEYS = frozenset(k for p in PHRASES for k, _ in p.tags) | {"surface", "service"}
"""Keys that are looked at; all others, names and notes above all, never leave the map."""
