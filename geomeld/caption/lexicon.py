"""The lexicon: which words make which claim. Longest match wins, so that a "solar panel farm" is no farm."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from geomeld.signals.phrases import PHRASES
from geomeld.signals.quantities import QUANTITIES

_LAND = "{area,areas,land,ground,terrain,landscape,patch,patches,slope,slopes,hill,hills,plain,plains}"

COVER: Mapping[str, str] = {
    "tree": f"forest{{,s}}|woodland{{,s}}|woods|wooded|wooded {_LAND}|forested|forested {_LAND}|tree{{,s}}|tree cover|"
    "tree-covered|{forest,tree,wood}-{clad,covered}|{tree,wooded} {groups,clumps,patches}|coppice{,s}|spinney{,s}|"
    "forest cover|woodland cover|forest-covered|stand{,s} of trees|tree stand{,s}|clump{,s} of trees|grove{,s}|"
    "copse{,s}|tree canopy|"
    "jungle|rainforest{,s}|timberland|conifers|pines|treetops|"
    "{palm,oak,pine,fir,spruce,poplar,birch,beech,olive,coconut,acacia} {trees,tree,forest,grove,groves}|"
    "{coniferous,deciduous,evergreen,tropical,mixed,pine,boreal} {forest,forests,trees,woodland,woods}",
    "shrub": f"shrubland{{,s}}|{{scrub,shrub,brush}}-{{clad,covered}}|{{shrub,scrubby,bushy}} patches|shrub{{,s}}|"
    f"shrubbery|shrubby {_LAND}|shrubby|scrub|scrubland{{,s}}|scrubby|"
    f"scrubby {_LAND}|bush{{,es}}|bushland|brushland|bushy {_LAND}|brush|heath|heathland|chaparral|maquis|garrigue|"
    f"moor{{,s}}|moorland{{,s}}|thicket{{,s}}|{{shrub,scrub}} cover",
    "grass": f"grassland{{,s}}|herbage|lea{{,s}}|{{grass,meadow,turf}}-{{clad,covered}}|grassy {{patches,stretches}}|"
    f"grass plots|meadow patches|meadowland|grass|grasses|grassy|grassy {_LAND}|meadow{{,s}}|pasture{{,s}}|"
    f"pastureland|rangeland|"
    "savanna{,s,h,hs}|prairie{,s}|steppe{,s}|lawn{,s}|turf|sward{,s}|grazing land|hayfield{,s}|hay meadow{,s}|"
    "grass cover|grass-covered",
    "crop": f"cropland{{,s}}|{{crop,field}}-covered|field {{patches,strips}}|cropped parcels|cropped|farmed|"
    f"cultivation|{{crop,farmed,cropped}} plot{{,s}}|crop{{,s}}|crop field{{,s}}|farmland{{,s}}|farm land{{,s}}|"
    f"cornfield{{,s}}|wheat|corn|maize|{{corn,wheat,maize,barley,rape,cotton,soybean}} field{{,s}}|"
    f"{{circular,irrigated,irrigation}} field{{,s}}|center pivot{{,s}}|centre pivot{{,s}}|farm field{{,s}}|"
    f"farm plot{{,s}}|farm{{,s}}|"
    f"farming land|cultivated|cultivated {_LAND}|cultivated {{field,fields,plots}}|agricultural {_LAND}|"
    "agricultural {field,fields,plots,parcels}|agriculture|{ploughed,plowed,tilled} {land,field,fields,ground,soil}|"
    "arable {land,ground}|farmed {land,ground}|arable field{,s}|planted field{,s}|cropped {land,fields}",
    "field": "field{,s}",
    "built": f"building{{,s}}|structures|built-up {_LAND}|built-up|built up area{{,s}}|settlement{{,s}}|settled land|"
    "housing|rooftop{,s}|roof{,s}|dwelling{,s}|homes|rooftop",
    "city": "city|cities|{,dense }urban {area,areas,district,districts,fabric,land,sprawl}|downtown|metropolis|"
    "{city,town} {block,blocks,center,centre}|high-rise{,s}|skyscraper{,s}|dense {city,settlement,suburb,suburbs}",
    "bare": f"{{bare,barren,sandy,rocky,stony,exposed}} {_LAND}|{{bare,exposed,brown,open,sandy,dry}} {{soil,earth}}|"
    "bare rock{,s}|bareland{,s}|barelands|barren|rocky|soil|sand|sands|rocks|stones|gravel|dirt|badland{,s}|"
    "deserted land|barrens|{bare,barren} {surfaces,expanses,stretches,patches,spots,tracts}|unvegetated|"
    "bare-surfaced|unvegetated {land,ground,terrain,surfaces}|exposed surfaces|naked ground|sandbar{,s}|sandbank{,s}|mudflat{,s}|"
    "mud flat{,s}|tidal flat{,s}|lava field{,s}|lava|scree|open soil|exposed rock{,s}|rock outcrop{,s}|wasteland{,s}",
    "desert": "desert{,s}|dune{,s}|sand dune{,s}",
    "snow": f"snow|snowfield{{,s}}|snow field{{,s}}|ice|ice field{{,s}}|icefield{{,s}}|snow-covered|"
    f"snow-covered {_LAND}|"
    f"snowy|snowy {_LAND}|snow cover|icy ground|glacier{{,s}}|snow-capped|snow covered|ice sheet{{,s}}|"
    f"ice floe{{,s}}|ice cap{{,s}}|snow-clad|snow and ice|ice and snow",
    "wetland": f"wetland{{,s}}|marsh-covered|boggy|boggy patches|marsh{{,es}}|marshland|marshy|marshy {_LAND}|"
    f"swamp{{,s}}|swampland|swampy|swampy {_LAND}|bog{{,s}}|"
    f"fen{{,s}}|peatland{{,s}}|peat bog{{,s}}|salt marsh{{,es}}|saltmarsh{{,es}}|reed belt{{,s}}|reed bed{{,s}}|"
    f"reeds|waterlogged {_LAND}|flooded {_LAND}|flooded {{vegetation,fields}}|boggy {_LAND}",
    "mangrove": "mangrove{,s}|mangrove-{clad,covered}|"
    "mangrove {woodland,thickets,forest,forests,swamp,swamps,trees,stands}",
    "moss": f"moss-{{clad,covered}}|moss|mosses|lichen{{,s}}|moss and lichen|mosses and lichens|moss cover|"
    f"lichen and moss|mossy|mossy {_LAND}|tundra",
    "veg_dense": "{dense,thick,lush} {,green }{vegetation,greenery}|dense plant cover",
    "veg_sparse": f"{{sparse,thin}} {{,green }}{{vegetation,greenery,plant cover}}|sparsely vegetated {_LAND}|"
    f"sparsely vegetated|thinly vegetated {_LAND}|scattered vegetation",
    "veg": "{,green }vegetation|{,green }plants|greenery|green cover|plant cover|vegetated {area,areas,land,ground}",
    "open": "open {land,ground,country,countryside}|countryside",
}
WATER: Mapping[str, str] = {
    "river": "river{,s}|waterway{,s}|riverbank{,s}|river bank{,s}|river delta{,s}|delta{,s}|river channel{,s}|"
    "watercourse{,s}",
    "stream": "stream{,s}|creek{,s}|brook{,s}|rivulet{,s}|tidal creek{,s}",
    "lake": "lake{,s}|lakeshore{,s}|lagoon{,s}",
    "pond": "pond{,s}|small pool{,s} of water",
    "sea": "sea{,s}|ocean{,s}|open sea|bay{,s}|seawater|inlet{,s}|strait{,s}|gulf|estuary|estuaries|fjord{,s}",
    "coast": "coast{,s}|coastline{,s}|seashore|coastal|coastal {area,areas,land,strip,plain}|seaside",
    "beach": "beach{,es}|sandy beach{,es}",
    "shore": "shore{,s}|shoreline{,s}|waterfront",
    "water": "open water|water|water bod{y,ies}|bod{y,ies} of water|stretch{,es} of water|sheet{,s} of water|"
    "water surface",
    "dry_bed": "dry {river bed,riverbed,lake bed,lakebed,bed,channel,river,lake}{,s}",
}
RELIEF: Mapping[str, str] = {
    "flat": "flat|level|low-relief|flattish|flat-lying|level ground|plain{,s}|even {ground,terrain,land,plain}|"
    "flatland{,s}|lowland plain{,s}",
    "undulating": "gently undulating|undulating|undulations|wavy|gently swelling|gentle rises|gently sloping",
    "rolling": "rolling|rolling hill{,s}|gently rolling|gentle hills|low hills",
    "hilly": "hilly|hummocky|hillock{,s}|hillocky|hill{,s}|hillside{,s}|hillslope{,s}|slope{,s}|sloping|uneven",
    "mountain": "mountain{,s}|mountain {sides,land,terrain,country,ground,landscape,setting}|mountainous|"
    "mountainside{,s}|mountain {slope,slopes}|alpine|high {mountain,mountains}",
    "steep": "steep|rugged|craggy|{steep,rugged} {slope,slopes,hill,hills,hillside,hillsides}",
    "valley": "valley{,s}|valley floor|gorge{,s}|canyon{,s}|ravine{,s}|gully|gullies|hollow{,s}",
    "ridge": "ridge{,s}|ridgeline{,s}|crest{,s}|mountain ridge{,s}",
    "peak": "peak{,s}|summit{,s}|hilltop{,s}|mountain {peak,peaks,top,tops}",
    "cliff": "cliff{,s}|terraces|terraced {slopes,hills,fields}|escarpment{,s}|coastal cliffs",
    "highland": "high-altitude|highland{,s}|plateau{,s}|high plateau",
    "lowland": "low-lying|lowland{,s}",
}
STYLE: Mapping[str, str] = {
    "meta": "{satellite,aerial,overhead,bird's-eye,top-down} {image,imagery,view,photo,photograph,picture,scene}|image|"
    "imagery|photo{,s,graph,graphs}|picture{,s}|{the,this} scene|we {see,can see}|can be seen|is shown|as shown|"
    "{the,this} {image,photo,picture} {shows,depicts,displays}|from above|viewed from|caption|description",
    "sensor": "sentinel|sentinel-1|sentinel-2|landsat|ndvi|worldcover|openstreetmap|osm|sar|radar|backscatter|"
    "pixel{,s}|"
    "spectral|reflectance|infrared|metadata|dataset|signals|gsd|tag{,s}|resolution|land cover class{,es}",
    "hedge": "possibly|probably|perhaps|maybe|likely|presumably|apparently|appear{,s} to be|seem{,s} to be|may be|"
    "might be|could be|suggests|suggesting|what looks like|what appears to be",
    "weather": "cloud{,s}|cloudy|cloudless|haze|hazy|sunny|sunlit|clear {sky,skies}|fog|foggy|mist|misty|shadow{,s}|"
    "rain|"
    "rainy|storm{,s}|sunset|sunrise|at {night,dawn,dusk}|sunlight|overcast",
    "season": "autumn|autumnal|fall colours|spring|summer|winter|wintry|springtime|summertime",
    "small": "people|person|car{,s}|vehicle{,s}|truck{,s}|boat{,s}|sailboat{,s}|yacht{,s}|ship{,s}|vessel{,s}|"
    "train{,s}|caravan{,s}|container{,s}|animal{,s}|cattle|cow{,s}|sheep|horse{,s}|"
    "bench{,es}|street sign{,s}|pedestrian{,s}|{,sun }umbrella{,s}|fence{,s}|bird{,s}",
    "purpose": "used for|used by|used to|supporting the|"
    "for {agriculture,recreation,irrigation,tourism,farming,grazing}|"
    "{local,regional} economy|popular with|important for|home to|ideal for|provides|providing|designed to|"
    "serves as|serving as|indicating|which {suggests,indicates}",
    "change": "expanding|growing {city,town,village}|recently|newly|new|in recent years|deforestation|deforested|"
    "no longer|formerly|burned|burnt",
    "lifecycle": "under construction|abandoned|disused|ruined|derelict",
    "taste": "beautiful|picturesque|stunning|scenic|idyllic|peaceful|breathtaking|charming|serene|tranquil|lovely",
}
UNMAPPED = {
    "viaduct": "viaduct{,s}|overpass{,es}",
    "aircraft": "plane{,s}|airplane{,s}|aircraft|helicopter{,s}",
    "paddy": "paddy|paddies|rice {field,fields,paddy,paddies}",
    "plantation": "plantation{,s}|palm plantation{,s}",
    "factory": "factory|factories|mill{,s}|power station{,s}",
    "port": "port{,s}|harbour{,s}|harbor{,s}|dock{,s}|shipyard{,s}|wharf|wharves|quay{,s}|"
    "container {terminal,port,yard}{,s}",
    "playground": "playground{,s}|basketball court{,s}|tennis court{,s}",
    "mine": "mine{,s}|mining {area,site,pit,pits}",
    "tunnel": "tunnel{,s}",
    "castle": "castle{,s}|monument{,s}|tower{,s}|chateau|chateaux|palace{,s}|fortress{,es}|lighthouse{,s}|"
    "prison{,s}|silo{,s}",
    "leisure_ground": "racecourse{,s}|racetrack{,s}|race track{,s}|{amusement,theme} park{,s}|campsite{,s}|"
    "camp site{,s}|"
    "{caravan,trailer,mobile home} park{,s}|zoo{,s}|fountain{,s}",
    "island": "island{,s}|islet{,s}|reef{,s}|coral reef{,s}",
}
"""Objects that no phrase of the map table speaks of: never supported."""
ALSO = {
    "road": "roads|lane{,s}|country road{,s}|roadway{,s}|crossroad{,s}|road junction{,s}|junction{,s}|intersection{,s}|"
    "roundabout{,s}|boulevard{,s}|avenue{,s}",
    "solar_farm": "solar {farm,park,plant,field,array,installation}{,s}|solar panel{,s}|photovoltaic panels",
    "highway": "highway{,s}|motorway{,s}|freeway{,s}|expressway{,s}|motor way{,s}|motorway junction{,s}",
    "wind_turbine": "wind farm{,s}|windmill{,s}",
    "street": "street{,s}|side street{,s}",
    "house": "detached house{,s}|farmhouse{,s}|cottage{,s}|villa{,s}|bungalow{,s}|{terrace,terraced} house{,s}|"
    "residential building{,s}|apartment {block,blocks,buildings}",
    "village": "small village{,s}",
    "railway": "railway{,s}|railroad{,s}|railway track{,s}|train track{,s}|rail line{,s}|rails|"
    "{railway,rail,marshalling,freight} yard{,s}",
    "airfield": "airport{,s}|airstrip{,s}|aerodrome{,s}|airport terminal{,s}",
    "storage_tank": "tank{,s}|oil tank{,s}|storage tank farm{,s}",
    "sports_pitch": "{football,sports,soccer,baseball,playing} {field,fields,pitch,pitches}|"
    "{sports,cricket} ground{,s}|{baseball,softball} diamond{,s}|running track{,s}",
    "industrial": "industrial {zone,site,complex,estate}{,s}|industrial land|warehouse{,s}",
    "commercial": "shopping {centre,center,mall}{,s}|retail area{,s}",
    "residential": "residential {zone,district,neighborhood,neighbourhood,block,land}{,s}|suburb{,s}|"
    "neighborhood{,s}|neighbourhood{,s}|suburban area{,s}",
    "parking": "car park{,s}|parking area{,s}",
    "quarry": "open-pit mine{,s}|open pit{,s}|gravel pit{,s}",
    "bridge": "footbridge{,s}|road bridge{,s}",
    "pier": "jetty|jetties|breakwater{,s}",
    "track": "track{,s}|unpaved track{,s}|dirt road{,s}|farm track{,s}",
    "footpath": "path{,s}|trail{,s}",
    "dam": "weir{,s}",
    "canal": "irrigation canal{,s}",
    "farm_building": "barn{,s}",
    "farmyard": "feedlot{,s}|cattle pen{,s}|stockyard{,s}",
    "industrial_building": "workshop{,s}",
    "salt_pond": "salt pan{,s}",
    "wastewater": "{waste water,wastewater,sewage} treatment plant{,s}|sewage plant{,s}",
    "substation": "{electricity,power} substation{,s}|substation{,s}",
    "swimming_pool": "pool{,s}",
    "school": "{,university }campus|campuses|university|teaching building{,s}",
    "greenhouse": "glasshouse{,s}",
    "landfill": "dump{,s}",
    "construction": "construction area{,s}",
    "marina": "yacht harbour",
    "park": "garden{,s}",
    "golf_course": "golf link{,s}",
    "church": "mosque{,s}|temple{,s}|chapel{,s}|cathedral{,s}",
}
_RASTERS = "building water river lake pond stream coast beach wetland forest scrub grassland bare farmland meadow glacier cliff"
TOLD_BY_RASTERS = frozenset(_RASTERS.split())
"""Concepts of the map table that are claims of cover, water or relief here."""

Group = Literal["cover", "water", "relief", "object", "style"]


def expand(pattern: str) -> Iterator[str]:
    """ "forest{,s}" -> "forest", "forests"; "|" separates alternatives."""
    for part in pattern.split("|"):
        yield from _braces(part)


def _braces(text: str) -> Iterator[str]:
    head, brace, rest = text.partition("{")
    if not brace:
        yield text
        return
    options, _, tail = rest.partition("}")
    for option in options.split(","):
        for end in _braces(tail):
            yield head + option + end


def _objects() -> dict[str, set[str]]:
    words = {c: set(expand(p)) for c, p in UNMAPPED.items()}
    for row in PHRASES:
        if row.concept not in TOLD_BY_RASTERS:
            words.setdefault(row.concept, set()).update((row.phrase, row.plural))
    for concept, pattern in ALSO.items():
        words[concept].update(expand(pattern))
    return words


@dataclass(frozen=True, slots=True)
class Marker:
    """A word or phrase that changes or bounds the claims beside it."""

    kind: Literal[
        "quantity", "predicate", "count", "modifier", "negation", "pseudo", "preposition", "and", "stop", "of"
    ]
    value: str


GROUP_OF: dict[str, Group] = {}
"""Concept -> group."""
_FORMS: dict[tuple[str, ...], str | Marker] = {}
WORD = re.compile(r"[A-Za-z0-9]+(?:['’-][A-Za-z0-9]+)*(?:\.\d+)?|[,;:.!?%()]")


def _add(group: Group, concept: str, forms: Iterable[str]) -> None:
    GROUP_OF[concept] = group
    for form in forms:
        _FORMS.setdefault(tuple(form.split()), concept)


COUNTS: Mapping[str, tuple[int, int]] = {
    "a": (1, 1), "an": (1, 1), "one": (1, 1), "a single": (1, 1), "two": (2, 2), "a couple of": (2, 2), "a pair of": (2, 2),
    "three": (3, 3), "four": (4, 4), "five": (5, 5), "six": (6, 6), "seven": (7, 7), "eight": (8, 8), "nine": (9, 9),
    "ten": (10, 10), "a few": (3, 5), "several": (6, 15), "many": (16, 10_000),
    "numerous": (16, 10_000), "dozens of": (24, 10_000), "countless": (50, 10_000), "lots of": (16, 10_000),
}  # fmt: skip
"""Words for numbers of things, with the numbers that they mean."""
MODIFIERS = (
    "dense", "thick", "closed", "open", "tall", "young", "mature", "green", "lush", "dry", "brown", "parched", "winding",
    "meandering", "large", "small", "wide", "narrow", "big", "frozen", "muddy", "turbid", "barren", "irrigated", "tiny",
    "fallow", "golden", "broad", "huge", "long", "verdant", "dried",
)  # fmt: skip
SURROUNDS = ("surrounded by", "encircled by", "ringed by", "enclosed by", "hemmed in by")
_MARKERS: Mapping[str, tuple[str, ...]] = {
    "quantity": SURROUNDS,
    "negation": ("no", "not", "without", "lacks", "lack", "lacking", "free of", "devoid of", "absence of", "never",
                 "rather than", "instead of", "absent", "nor", "without any"),
    "pseudo": ("not only", "not far from", "no more than", "no less than", "without interruption", "nothing but",
               "not just", "not a big", "no doubt", "without a break"),
    "and": ("and", "or", "as well as", "plus", "along with", "alongside"),
    "of": ("of", "the", "its", "this"),
    "preposition": ("with", "in", "on", "across", "through", "over", "near", "by", "beside", "around", "along", "among",
                    "between", "at", "to", "from", "into", "under", "next to", "amid", "beyond",
                    "bordered by", "crossed by", "broken by", "dotted with", "interspersed with", "flanked by",
                    "broken up by", "lined with", "fringed by", "edged by"),
    "stop": ("but", "while", "whereas", "where", "which", "that", "is", "are", "runs", "run"),
}  # fmt: skip


def _fill() -> None:
    for group, table in (("cover", COVER), ("water", WATER), ("relief", RELIEF), ("style", STYLE)):
        for concept, pattern in table.items():
            _add(group, concept, expand(pattern))  # type: ignore[arg-type]
    for concept, forms in _objects().items():
        _add("object", concept, forms)
    GROUP_OF["number"] = GROUP_OF["name"] = "style"
    for band in QUANTITIES:
        for kind, words in (("quantity", band.words), ("predicate", band.predicates)):
            for word in words:
                # "mostly" stands on either side of its noun: the place decides, not the word.
                _FORMS.setdefault(tuple(word.split()), Marker(kind, word))  # type: ignore[arg-type]
    for word in COUNTS:
        _FORMS.setdefault(tuple(word.split()), Marker("count", word))
    for kind, words in _MARKERS.items():
        for word in words:
            _FORMS.setdefault(tuple(word.split()), Marker(kind, word))  # type: ignore[arg-type]
    for word in MODIFIERS:
        _FORMS.setdefault((word,), Marker("modifier", word))


_fill()
MISSPELT: Mapping[str, str] = {
    wrong: right
    for right, wrongs in {
        "forest": "forrest forst foreset", "forests": "forrests", "building": "buidling buiding bulding buliding biulding",
        "buildings": "buidlings buidings buldings bulidings biuldings buildngs", "residential": "residental residencial",
        "vegetation": "vegatation vegetaion vegitation", "grassland": "grasland", "desert": "dessert", "area": "aera",
        "mountain": "moutain mountian", "mountains": "moutains mountians", "vineyards": "vinyards", "farmland": "framland",
        "railway": "raiway", "airport": "airpot", "bridge": "brigde", "river": "riever", "field": "feild", "fields": "feilds",
        "meadow": "medow", "meadows": "medows", "harbor": "habor", "stadium": "staduim", "neighborhood": "neighbourhod",
        "industrial": "industral", "scattered": "scatterd", "surrounded": "surounded",
    }.items()
    for wrong in wrongs.split()
}  # fmt: skip
"""How people write words of the lexicon."""
_LONGEST: dict[str, int] = {}
for _form in _FORMS:
    _LONGEST[_form[0]] = max(_LONGEST.get(_form[0], 0), len(_form))


def look_up(words: list[str], at: int) -> tuple[str | Marker, int] | None:
    """(concept or marker, number of words) of the longest entry that starts at a word; None where there is none."""
    for length in range(min(_LONGEST.get(words[at], 0), len(words) - at), 0, -1):
        found = _FORMS.get(tuple(words[at : at + length]))
        if found is not None:
            return found, length
    return None


def known(word: str) -> bool:
    """Whether any entry contains this word (in lower case)."""
    return word in _VOCABULARY


_VOCABULARY = frozenset(w for form in _FORMS for w in form)

LOCATION = re.compile(
    r"(?:\b(?:in|to|at|along|near|on|towards?|across|over|from|throughout) )?\bthe (?:far |very )?"
    r"(?P<where>(?:north|south)(?:-? ?(?:eastern|western|east|west)|ern)?|eastern|western|east|west|cent(?:re|er)|"
    "central|"
    r"middle|(?:upper|lower|top|bottom)[- ](?:left|right)|left|right|upper|lower|top|bottom)"
    r"(?: (?:parts?|corner|half|side|edge|quarter|end|third|section))?\b"
)
SIDES = {"left": "west", "right": "east", "upper": "north", "top": "north", "lower": "south", "bottom": "south",
         "center": "centre", "central": "centre", "middle": "centre"}  # fmt: skip


def place(words: str) -> str:
    """A part of the tile in one form: "north-eastern" and "northeast" are "north-east", "left" is "west"."""
    parts = re.split("[- ]", words)
    if all(w in SIDES for w in parts):
        return "-".join(SIDES[w] for w in parts)
    plain = words.replace("ern", "").replace(" ", "-")
    return re.sub(r"^(north|south)-?(east|west)$", r"\1-\2", plain)
