//! Where topics, partitions, groups and errors are in the bodies of requests and responses, version by version, after the schemas in
//! `clients/src/main/resources/common/message` of Apache Kafka.
//!
//! A layout is read from its first letter to its last. Digits are numbers of so many bytes, of which nothing is taken; `s` a string,
//! `b` bytes, `u` a UUID. `T` is a topic's name, `U` its id, `P` a partition, `G` a group (`k` says before or behind it whether it is
//! one), `a` the acknowledgements asked for, `R` records; `E` an error, `M` what is said of it, `O` the offset given to records. `{..}`
//! is an array of structures, `(..)` a structure, `[..]` an array of plain values; `.` is as far as it is described. Of requests the
//! first element of arrays is read, and they are described no further than that needs.

/// From which version on which layout holds.
type Versions = &'static [(i16, &'static str)];

/// Kind of request, layouts of requests, layouts of responses.
#[rustfmt::skip]
const LAYOUTS: &[(i16, Versions, Versions)] = &[
    (0, &[(0, "a4{T{PR}}"), (3, "sa4{T{PR}}"), (13, "sa4{U{PR}}")],
        &[(0, "{T{PEO}}"), (2, "{T{PEO8}}"), (5, "{T{PEO88}}"), (8, "{T{PEO88{4s}M}}"), (13, "{U{PEO88{4s}M}}")]),
    (1, &[(0, "444{T{P}}"), (3, "4444{T{P}}"), (4, "44441{T{P}}"), (7, "4444144{T{P}}"), (13, "4444144{U{P}}"), (15, "444144{U{P}}")],
        &[(0, "{T{PE8b}}"), (1, "4{T{PE8b}}"), (4, "4{s{4E88{88}b}}"), (5, "4{s{4E888{88}b}}"), (7, "4E4{s{4E888{88}b}}"),
            (11, "4E4{s{4E888{88}4b}}"), (13, "4E4{u{4E888{88}4b}}")]),
    (2, &[(0, "4{T{P}}"), (2, "41{T{P}}")], &[(0, "{T{PE[8]}}"), (1, "{s{4E88}}"), (2, "4{s{4E88}}"), (4, "4{s{4E884}}")]),
    (3, &[(0, "{T}"), (10, "{UT}")],
        &[(0, "{4s4}{Es{E44[4][4]}}"), (1, "{4s4s}4{Es1{E44[4][4]}}"), (2, "{4s4s}s4{Es1{E44[4][4]}}"),
            (3, "4{4s4s}s4{Es1{E44[4][4]}}"), (5, "4{4s4s}s4{Es1{E44[4][4][4]}}"), (7, "4{4s4s}s4{Es1{E444[4][4][4]}}"),
            (8, "4{4s4s}s4{Es1{E444[4][4][4]}4}"), (10, "4{4s4s}s4{ETU1{E444[4][4][4]}4}"),
            (13, "4{4s4s}s4{ETU1{E444[4][4][4]}4}E")]),
    (8, &[(0, "G{T{P}}"), (1, "G4s{T{P}}"), (2, "G4s8{T{P}}"), (5, "G4s{T{P}}"), (7, "G4ss{T{P}}"), (10, "G4ss{U{P}}")],
        &[(0, "{T{PE}}"), (2, "{s{4E}}"), (3, "4{s{4E}}"), (10, "4{u{4E}}")]),
    (9, &[(0, "G{T[P]}"), (8, "{G{T[P]}}"), (9, "{Gs4{T[P]}}"), (10, "{Gs4{U[P]}}")],
        &[(0, "{s{48sE}}"), (2, "{s{48sE}}E"), (3, "4{s{48sE}}E"), (5, "4{s{484sE}}E"), (8, "4{s{s{484sE}}E}"),
            (10, "4{s{u{484sE}}E}")]),
    (10, &[(0, "G"), (1, "Gk"), (4, "k[G]")], &[(0, "E"), (1, "4EM"), (4, "4{s4s4EM}")]),
    (11, &[(0, "G")], &[(0, "E"), (2, "4E")]),
    (12, &[(0, "G")], &[(0, "E"), (1, "4E")]),
    (13, &[(0, "G")], &[(0, "E"), (1, "4E"), (3, "4E{ssE}")]),
    (14, &[(0, "G")], &[(0, "E"), (1, "4E")]),
    (15, &[(0, "[G]")],
        &[(0, "{Essss{sssbb}}"), (1, "4{Essss{sssbb}}"), (3, "4{Essss{sssbb}4}"), (4, "4{Essss{ssssbb}4}"),
            (6, "4{EMssss{ssssbb}4}")]),
    (16, &[], &[(0, "E"), (1, "4E")]),
    (17, &[], &[(0, "E")]),
    (18, &[], &[(0, "E")]),
    (19, &[(0, "{T}")], &[(0, "{TE}"), (1, "{TEM}"), (2, "4{sEM}"), (5, "4{sEM42{ss111}}"), (7, "4{TUEM42{ss111}}")]),
    (20, &[(0, "[T]"), (6, "{T}")], &[(0, "{TE}"), (1, "4{sE}"), (5, "4{sEM}"), (6, "4{TUEM}")]),
    (21, &[(0, "{T{P}}")], &[(0, "4{s{48E}}")]),
    (22, &[], &[(0, "4E")]),
    (23, &[(0, "{T{P}}"), (3, "4{T{P}}")], &[(0, "{T{E48}}"), (1, "{T{E448}}"), (2, "4{s{E448}}")]),
    (24, &[(0, "s82{T}"), (4, "{s821{T}}")], &[(0, "4{s{4E}}"), (4, "4E{s{s{4E}}}")]),
    (25, &[(0, "s82G")], &[(0, "4E")]),
    (26, &[], &[(0, "4E")]),
    (27, &[(0, "{821{T}}")], &[(0, "{8{s{4E}}}")]),
    (28, &[(0, "sG82{T{P}}"), (3, "sG824ss{T{P}}")], &[(0, "4{s{4E}}")]),
    (29, &[], &[(0, "4EM")]),
    (30, &[], &[(0, "4{EM}")]),
    (31, &[], &[(0, "4{EM{EM1s1ss11}}")]),
    (32, &[], &[(0, "4{EM1s{ss111{ss1}}}"), (3, "4{EM1s{ss111{ss1}1s}}")]),
    (33, &[], &[(0, "4{EM1s}")]),
    (34, &[(0, "{s{T}}")], &[(0, "4{s{4E}}")]),
    (35, &[(0, "{T}")], &[(0, "4{Es{s{4881}}}"), (3, "4E{Es{s{4881}}}"), (4, "4E{Es{s{4881}}88}"), (5, "4E{Es{s{4881}}881}")]),
    (36, &[], &[(0, "EM")]),
    (37, &[(0, "{T}")], &[(0, "4{sEM}")]),
    (38, &[], &[(0, "E")]),
    (39, &[], &[(0, "E")]),
    (40, &[], &[(0, "E")]),
    (41, &[], &[(0, "E")]),
    (42, &[(0, "[G]")], &[(0, "4{sE}")]),
    (43, &[(0, "{T}"), (1, "1{T}")], &[(0, "4{s{4EM}}"), (1, "4E{s{4EM}}")]),
    (44, &[], &[(0, "4{EM1s}")]),
    (45, &[(0, "4{T}"), (1, "41{T}")], &[(0, "4EM{s{4EM}}"), (1, "41EM{s{4EM}}")]),
    (46, &[(0, "4{T}")], &[(0, "4EM")]),
    (47, &[(0, "G{T}")], &[(0, "E4{s{4E}}")]),
    (48, &[], &[(0, "4EM")]),
    (49, &[], &[(0, "4{EM{ss}}")]),
    (50, &[], &[(0, "4EM{sEM{14}}")]),
    (51, &[], &[(0, "4{sEM}")]),
    (52, &[(0, "s{T}"), (1, "s4{T}")], &[(0, "E{s{4E441}}")]),
    (53, &[(0, "s{T}"), (1, "s4{T}")], &[(0, "E{s{4E44}}")]),
    (54, &[(0, "s{T}")], &[(0, "E{s{4E44}}")]),
    (55, &[(0, "{T}")], &[(0, "E{s{4E448{48}{48}}}"), (1, "E{s{4E448{4888}{4888}}}"), (2, "EM{s{4EM448{4u888}{4u888}}}")]),
    (56, &[(0, "48{U}")], &[(0, "4E{u{4E44[4]14}}")]),
    (57, &[], &[(0, "4EM{sEM}"), (2, "4EM")]),
    (58, &[], &[(0, "bE")]),
    (59, &[(0, "44{T}")], &[(0, "4E{s{4E(84)88b}}")]),
    (60, &[], &[(0, "4EM")]),
    (61, &[(0, "{T}")], &[(0, "4{s{4EM{844848}}}")]),
    (62, &[], &[(0, "4E")]),
    (63, &[], &[(0, "4E")]),
    (64, &[], &[(0, "4EM")]),
    (65, &[], &[(0, "4{Ess4882{s[4]}}")]),
    (66, &[], &[(0, "4E")]),
    (67, &[], &[(0, "4E")]),
    (68, &[(0, "Gs4ss4[T]")], &[(0, "4EM")]),
    (69, &[(0, "[G]")], &[(0, "4{EMss44s{sss4ss[T]s({UT[4]})({UT[4]})}4}"), (1, "4{EMss44s{sss4ss[T]s({UT[4]})({UT[4]})1}4}")]),
    (70, &[], &[(0, "4EM")]),
    (71, &[], &[(0, "4E")]),
    (72, &[], &[(0, "4E")]),
    (73, &[(0, "48{u{U}}")], &[(0, "4E{u{u{4E}}}")]),
    (74, &[], &[(0, "4E")]),
    (75, &[(0, "{T}")], &[(0, "4{ETU1{E444[4][4][4][4][4]}4}")]),
    (76, &[(0, "Gs4s[T]")], &[(0, "4EM")]),
    (77, &[(0, "[G]")], &[(0, "4{EMss44s{ss4ss[T]({UT[4]})}4}")]),
    (78, &[(0, "Gs444444{U}"), (2, "Gs44444411{U}")], &[(0, "4EM4{u{4EM2s(44)b{882}}}")]),
    (79, &[(0, "Gs4{U}"), (2, "Gs41{U}")], &[(0, "4EM{u{4EM(44)}}"), (2, "4EM4{u{4EM(44)}}")]),
    (80, &[], &[(0, "4EM")]),
    (81, &[], &[(0, "4EM")]),
    (82, &[], &[(0, "4E")]),
    (83, &[(0, "G{U}")], &[(0, "{u{4EM}}")]),
    (84, &[(0, "G{U}")], &[(0, "{u{4EM48{8812}}}")]),
    (85, &[(0, "G{U}")], &[(0, "{u{4EM}}")]),
    (86, &[(0, "G{U}")], &[(0, "{u{4EM}}")]),
    (87, &[(0, "G{U}")], &[(0, "{u{4EM448}}"), (1, "{u{4EM4484}}")]),
    (88, &[(0, "G")], &[(0, "4EM")]),
    (89, &[(0, "[G]")], &[(0, "4{EM.}")]),
    (90, &[(0, "{G{T}}")], &[(0, "4{s{TU{484EM}}EM}"), (1, "4{s{TU{4848EM}}EM}")]),
    (91, &[(0, "G{T}")], &[(0, "4EM{TU{4EM}}")]),
    (92, &[(0, "G{T}")], &[(0, "4EM{TUEM}")]),
];

/// The layout of a request's body, empty if nothing is to be taken.
pub(super) fn of_request(key: i16, version: i16) -> &'static str {
    find(key, version, |(_, request, _)| request)
}

/// The same of a response.
pub(super) fn of_response(key: i16, version: i16) -> &'static str {
    find(key, version, |(_, _, response)| response)
}

fn find(key: i16, version: i16, side: fn(&(i16, Versions, Versions)) -> &Versions) -> &'static str {
    let layouts = LAYOUTS.binary_search_by_key(&key, |(key, ..)| *key).ok().and_then(|at| LAYOUTS.get(at));
    let newest = layouts.and_then(|layouts| side(layouts).iter().rev().find(|(since, _)| *since <= version));
    newest.map_or("", |(_, layout)| layout)
}
