"""Grammar: the sentence frames of the template writer, as tables.

In a frame, {g} is the ground's noun, {a} and {b} two covers, {w} water, {o} an object, {land} land with its relief
("rolling hills"), {area} the same as a singular noun ("rolling landscape"), {p} and {q} places. "cover+" is a verb
that agrees with its frame's subject, "[a|b]" a choice.
"""

from collections.abc import Mapping

_MOSTLY = "mostly|largely|mainly|predominantly|chiefly"
_UNDER = (
    "dominated by|mostly covered by|largely covered with|covered mainly by|covered in|covered with|clothed in|"
    "cloaked in|"
    "mantled in|draped in|carpeted with|mostly under|largely under|covered largely by"
)
_COVER = "cover+|blanket+|carpet+|clothe+|cloak+|mantle+|drape+"
_MOST_OF = (
    "cover+|make+ up|take+ up|occupy+|fill+|span+|claim+|form+|account+ for|extend+ over|spread+ across|reach+ across"
)
GROUND = (
    f"{{g}} [{_MOST_OF}] most of [the|this|a] {{area}}",
    f"{{g}} [{_COVER}] [the|this|a] {{area}}",
    f"{{g}} [{_COVER}] {{land}}",
    "{g} stretch+ across [a|this] {area}",
    "{g} stretch+ across {land}",
    "{g} sweep+ across [the|this] {area}",
    "{g} dominate+ [a|this] {area}",
    "{g} dominate+ {land}",
    "{g} prevail+ on {land}",
    "{g} predominate+ [on|across|over|throughout] {land}",
    "{g} cover+ much of [a|this] {area}",
    f"a {{area}} [{_UNDER}] {{g}}",
    f"{{adj}} [terrain|ground|country|land] [{_UNDER}] {{g}}",
    f"{{land}} [{_UNDER}] {{g}}",
    f"[{_MOSTLY}] {{g}} on {{land}}",
    f"[{_MOSTLY}] {{g}} across a {{area}}",
    f"[{_MOSTLY}] {{g}} over {{land}}",
    "across the {area}, {g} [cover+|occupy+|fill+|make+ up] most of the ground",
    "over {land}, {g} [take+ up|occupy+|claim+|make+ up] most of the area",
    f"[this|the] {{area}} is [{_MOSTLY}] {{g}}",
    "most of [the|this] {area} [lies|rests|remains|stays] under {g}",
    "vast expanses of {g} [reach|stretch|extend|spread|roll] [across|over] {land}",
    "a vast expanse of {g} [lies|spreads|extends|unfolds|reaches] over {land}",
    "the {area} [lies|rests|stays|remains] [mostly|largely] under {g}",
    "on {land}, {g} [dominate+|prevail+|predominate+]",
    "throughout this {area}, {g} [dominate+|prevail+|predominate+]",
    "{g} [dominating|blanketing|carpeting|covering|cloaking|mantling] {land}",
    "{c} {land}",
    "{c} {land} [here|all around|throughout]",
    "[mostly|largely|mainly|predominantly|chiefly] {c} {land}",
    "[mostly|largely|mainly|predominantly|chiefly] {c} [ground|terrain|country] in a {area}",
    "[this|the] {area} is [mostly|largely|mainly|predominantly|chiefly] {c}",
    "a {c} {area}",
)
"""One cover has half of the tile or more."""
EVERYWHERE = (
    "{g} cover+ the entire {area}",
    "{g} cover+ nearly all of [the|this] {area}",
    "{g} fill+ the whole {area} from edge to edge",
    "a {area} [entirely|completely] covered by {g}",
    "{land} [entirely|completely] covered [by|with] {g}",
    "[the|this] {area} is almost entirely {g}",
    "{g} cover+ almost all of [the|this] {area}",
    "nothing but {g} on {land}, reaching from one side of the area to the other",
    "{g} cover+ nearly the whole {area}, with little else to be found",
    "{land} blanketed [by|in] {g} in every direction",
    "a {area} blanketed [by|in] {g} in every direction",
    "wall-to-wall {g} [on|across|over] {land}",
    "wall-to-wall {g} [in|across] a {area}",
    "nothing but {g} [across|throughout] a {area}",
    "over {land}, almost everything is {g}, with little else in between",
    "{g} reach+ in every direction over {land}, with little else around",
    "{land} with nothing but {g} [all around|in all directions|everywhere]",
    "{g} cover+ almost all {land} here",
)
"""One cover has nine tenths or more."""
MIXTURE = (
    "{a} and {b} share [the|this|a] {area}",
    "{a} and {b} [lie|rest|stand] side by side on {land}",
    "{a} and {b} alternate [across|over] [the|a] {area}",
    "{a} and {b} alternate on {land}",
    "a mix of {a} and {b} [on|over|across] {land}",
    "a patchwork of {a} and {b} [spreads|lies|extends] [over|across] {land}",
    "a {area} of {a} and {b}",
    "a {area} [divided|split|shared] between {a} and {b}",
    "{land} [shared|divided] by {a} and {b}",
    "{a} mixed with {b} [on|across|over] {land}",
    "{a} interspersed with {b} [on|over|across] {land}",
    "{a} broken up by {b} on {land}",
    "a mosaic of {a} and {b} [on|over|across] {land}",
    "the {area} [holds|has|contains|carries|bears] {qa} and {qb}",
    "a {area} [with|holding|carrying|bearing] {qa} and {qb}",
    "{qa} and {qb} [spread|extend|lie|appear|occur] [over|on|across] {land}",
    "{a} give+ way to {b} [across|on|over] {land}",
    "{qa} on {land}, next to {qb}",
    "{a} and {b} meet [on|across|over] {land}",
    "{a} intermingled with {b} [over|on|across] {land}",
    "{land} [with|carrying|bearing|holding] {qa} plus {qb}",
    "{qa} [alongside|beside|plus|besides] {qb} [on|over|across] {land}",
    "{qa} beside {qb} [on|over|across] {land}",
    "between them, {a} and {b} [make up|form] much of [the|this] {area}",
    "{a} as well as {b} [occur|appear|exist] [on|across|over] {land}",
)
"""No cover has half of the tile."""
LAYOUT = (
    "{a} lie+ in the {p} and {b} in the {q} of a {area}",
    "{a} in the {p} of [the|a|this] {area}, {b} in the {q}",
    "in the {p} lie+ {a}, in the {q} {b}, on {land}",
    "a {area} with {a} in the {p} and {b} in the {q}",
    "{a} lie+ in the {p} of [the|this] {area}, {b} in the {q}",
    "on {land}, {a} [occupy+|claim+|hold+] the {p} and {b} the {q}",
    "{a} [occupy+|hold+|claim+] the {p}, {b} the {q} of [the|a] {area}",
    "{land} with {a} [to|towards] the {p} and {b} [to|towards] the {q}",
    "to the {p} {a}, to the {q} {b} on {land}",
    "towards the {p} {a} [gather+|lie+|spread+] on {land}, towards the {q} {b}",
    "[the|this] {area} has {a} in the {p} and {b} in the {q}",
    "{a} to the {p} [face+|meet+] {b} to the {q} on {land}",
)
"""Two covers that lie apart."""
RIVER = (
    "{w} [runs|flows|winds its way|passes] through {g} on {land}",
    "{w} [runs|flows|passes|leads] through {land} with {g}",
    "{w} [crosses|divides|traverses|cuts across|splits] a {area} of {g}",
    "{w} [crosses|divides|traverses|drains] {land} with {g}",
    "{w} cuts through {g} [on|across] {land}",
    "{w} passes through a {area} of {g}",
    "{g} [line+|flank+|border+|edge+|fringe+] {w} on {land}",
    "{g} on both sides of {w} that crosses {land}",
    "{w} makes its way [through|across] {land} [among|between|amid] {g}",
    "{g} flank+ {w} in a {area}",
    "a {area} of {g} [crossed|cut|divided|traversed] by {w}",
    "{w} flows past {g} on {land}",
    "{g} [stand+|lie+|extend+] along {w} [on|across] {land}",
    "past {g} [runs|flows] {w} across {land}",
)
LAKE = (
    "{w} [lies|rests|sits] among {g} on {land}",
    "{w} [sits|lies|rests] in a {area} of {g}",
    "{g} [border+|edge+|flank+|fringe+|face+] {w} on {land}",
    "{w} [bordered|edged|fringed|flanked] by {g} on {land}",
    "{g} reach+ the edge of {w} on {land}",
    "{w} lies in the midst of {g} on {land}",
    "a {area} of {g} around {w}",
    "{g} [lie+|stand+|spread+|extend+] around {w} on {land}",
    "{w} [rests|lies|sits] beside {g} on {land}",
    "{w} is [set|nestled|embedded] in {g} on {land}",
    "{w} on {land} [amid|among|beside|near] {g}",
    "next to {g}, {w} [lies|rests|sits] on {land}",
)
SEA = (
    "the sea [meets|borders|touches|faces] a {area} of {g}",
    "{g} [reach+|extend+|lead+|run+] down to the sea on {land}",
    "the sea [borders|meets|edges|flanks] {land} with {g}",
    "a coast of {land} with {g}",
    "{g} [lie+|spread+|extend+|stand+] beside the sea on {land}",
    "a coastal {area} of {g} beside the sea",
    "the sea lies next to {g} on {land}",
    "a coastline with {g} on {land}",
    "{g} [line+|edge+|border+|fringe+] the coast of a {area}",
    "{land} with {g} [meet*|border*|face*] the sea",
    "by the sea, {g} [spread+|lie+|extend+] [over|across|on] {land}",
    "a shoreline [fringed by|lined with|edged by] {g} on {land}",
)
FLOODED = (
    "{w} [takes up|covers|fills|occupies|claims|spans] most of [the|this|an] area",
    "{w} dominates [the|this] area",
    "most of [the|this] area is [covered by|under] {w}",
    "{w} stretches across most of [the|this] area",
    "{w} [covers|fills|occupies] most of [the|this] [place|setting|tract|square]",
    "an area [dominated|mostly covered] by {w}",
    "[mostly|largely|mainly] {w} in this area",
    "{w} [spreads|reaches|extends] across most of [the|this] [place|setting|area]",
)
"""Water has half of the tile or more."""
LINE = (
    "{o} [run+|lead+|pass+] through {g} on {land}",
    "{o} [cross+|traverse+|divide+|split+] a {area} of {g}",
    "{o} [pass+|run+|lead+|cut+] through {g}",
    "a {area} of {g} [crossed|traversed|divided|cut] by {o}",
    "{o} [cut+|run+|lead+|stretch+] across {land} with {g}",
    "{o} [lead+|run+|pass+] across a {area} of {g}",
    "{o} [run+|lead+] across {land}, past {g}",
    "{g} on both sides of {o} that [cross+|traverse+] {land}",
    "{g} [line+|flank+|edge+|border+] {o} on {land}",
    "{o} on {land}, [past|through] {g}",
    "through {g} on {land} [run+|lead+|pass+] {o}",
    "{o} [go+|head+|lead+] past {g} [on|over|across] {land}",
)
"""Roads and railways."""
SITE = (
    "{o} [lie+|stand+|rest+] on {land} with {g} around",
    "{o} [sit+|lie+|stand+] [among|amid|amidst] {g} on {land}",
    "{o} [in|within|inside] a {area} of {g}",
    "a {area} of {g} [with|holding|containing] {o}",
    "{o} [stand+|lie+|appear+] on {land} with {g}",
    "{land} with {g} and {o}",
    "{o} [surrounded|encircled|enclosed] by {g} on {land}",
    "{o} [stand+|lie+|sit+] on {land} [beside|near|next to|close to] {g}",
    "{o} [stretch+|extend+|spread+] over {land} next to {g}",
    "{g} surround+ {o} on {land}",
    "a {area} with {o} [amid|amidst|among] {g}",
    "{o} [occupy+|take+ up|claim+] part of a {area} of {g}",
    "{o} [beside|near|by|next to] {g} on {land}",
    "[amid|among|beside|near] {g} on {land} [lie+|stand+|sit+] {o}",
    "{land} with {o} and {g} [around|nearby|close by]",
    "{g} [frame+|border+|flank+|edge+] {o} on {land}",
    "next to {g} on {land} [stand+|lie+|sit+] {o}",
)
"""Things that take up ground."""
TERRAIN = (
    "{land} with {g} [all around|on most of it|nearly throughout]",
    f"the [terrain|ground|land|surface] lies {{adj}} and [{_UNDER}] {{g}}",
    "the [ground|terrain|land] is {adj} and {g} dominate+ it",
    "{land} where {g} [dominate+|prevail+|predominate+]",
    "a {area} where {g} [dominate+|prevail+|predominate+]",
    f"{{land}}, [{_MOSTLY}] {{g}}",
    f"a {{area}}, [{_MOSTLY}] {{g}}",
    f"{{land}} [{_UNDER}] {{g}}",
    f"{{adj}} [terrain|ground|land|country] that is [{_MOSTLY}] {{g}}",
    "{land} with {g} [dominating|prevailing|predominating]",
    "a {area} with {g} [dominating|prevailing|predominating]",
    "[across|over|on] {land}, {g} [dominate+|prevail+|predominate+]",
    "the [land|ground|terrain] lies {adj}, [clothed|cloaked|mantled|draped|covered] in {g}",
    "[terrain|ground|land] that is {adj} and [mostly under|largely under|dominated by|covered with] {g}",
    "{adj} [terrain|ground|land|country], {g} [dominating|prevailing|predominating]",
    "{adj} in form, this [area|place|tract|land] is [mostly|largely|mainly|predominantly] {g}",
    "{adj} in form, the [area|place|tract|land] is [dominated by|covered in|clothed in|covered with] {g}",
    f"[this|the] {{area}}, [{_UNDER}] {{g}}",
    "{land} here, [dominated by|clothed in|covered with|mostly under|mantled in] {g}",
    "{land} [carry*|bear*|hold*] [mostly|mainly|largely|predominantly|chiefly] {g}",
    "here the [land|ground|terrain] [lies|stays|rests] {adj}, and {g} [dominate+|prevail+|predominate+]",
)
"""Relief comes first."""
TAILS = (
    ", with {list}",
    ", [backed|enriched|supplemented] by {list}",
    ", alongside {list}",
    ", plus {list}",
    ", besides {list}",
    ", [accompanied|joined|complemented] by {list}",
    ", {list} [alongside|adjoining|included|added]",
    ", {list} [alongside|adjoining|nearby|besides|further on|thereabouts]",
    ", {list} [completing|diversifying|varying] it",
    ", with {list} [adding variety|joining in|alongside|besides|too|adjoining|as well]",
    ", interspersed with {list}",
    ", [broken up|interrupted|punctuated] by {list}",
    ", [broken|interrupted|varied] by {list}",
    ", mixed with {list}",
    ", intermixed with {list}",
    ", with {list} in between",
    ", {list} [in between|interspersed|intermixed|mixed in|intermingled]",
    ", where {list} [appear+|occur+|feature+|turn+ up|emerge+] too",
    ", while {list} make+ up the rest",
    ", {list} [making up|forming|being] the rest",
    ", {list} [forming|being] the remainder",
    ", with {list} in places",
    ", {list} here and there",
    ", {list} [dotting it|scattered about|strewn about|dotted around]",
    ", with {list} scattered throughout",
    ", [dotted|sprinkled|studded|peppered|speckled|flecked] with {list}",
)
"""Covers that follow."""
THING_TAILS: Mapping[str, tuple[str, ...]] = {
    "river": (
        ", [crossed|cut|divided|traversed|split] by {x}",
        ", with {x} [running|flowing|passing|cutting] through",
        ", where {x} [run+|flow+|pass+] through",
        ", {x} [running|flowing|cutting|passing] through",
        ", along {x}",
    ),
    "lake": (
        ", [beside|near|by|close to|next to|not far from|around] {x}",
        ", with {x} [nearby|alongside|close at hand]",
        ", {x} [nearby|alongside|adjoining|close at hand]",
    ),
    "sea": (", [beside|next to|bordering|right by|down to|near|close to|facing] {x}",),
    "line": (
        ", [crossed|cut|divided|traversed|split] by {x}",
        ", with {x} [running|passing|leading|cutting] through",
        ", {x} [running|passing|leading|cutting|going] through",
    ),
    "built": (
        ", and {x} [nearby|alongside|besides]",
        ", where {x} [stand|rise|appear]",
        ", and {x} dot the area",
        ", {x} [nearby|alongside|included|standing here and there|dotted around]",
        ", with {x} [here and there|in places|scattered about|nearby]",
        ", plus {x}",
        ", besides {x}",
    ),
    "site": (
        ", [near|beside|next to|by|close to|not far from|around] {x}",
        ", with {x} [nearby|alongside|close at hand]",
        ", {x} [nearby|alongside|adjoining|besides|close at hand]",
        ", plus {x}",
        ", besides {x}",
    ),
    "form": (", within {x}", ", along {x}", ", inside {x}"),
}
"""One thing that follows, by what it is."""
