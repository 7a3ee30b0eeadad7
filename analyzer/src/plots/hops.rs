//! A conversation's way through its places: from the client down to the server, what each hop took, lost and saw resent, in either
//! direction.

use super::red::delay_label;
use super::svg::{Svg, number};
use crate::analysis::Analysis;
use crate::human;
use crate::report::flows;
use replay::hops::{Hop, HopPlace, Way, place_name};
use replay::model::ObservedAt;
use std::collections::BTreeMap;

const WIDTH: f64 = 990.0;
const TOP: f64 = 92.0;
/// From one place to the next.
const ROW: f64 = 40.0;
/// The line of places.
const LINE: f64 = 30.0;
/// The columns of the two directions, and how long a bar may be.
const COLUMNS: [f64; 2] = [350.0, 680.0];
const BAR: f64 = 130.0;
/// Width of a letter of the small texts, about.
const LETTER: f64 = 6.0;
/// Conversations that are drawn.
const MOST: usize = 6;
/// Places of one that are drawn.
const MOST_PLACES: usize = 40;
/// Characters of a place's name.
const NAME: usize = 44;

/// The conversations most worth a look, each with its hops: losses first, then the longest ways. Of equal ways (the same places) one each.
pub(crate) fn chosen(analysis: &Analysis) -> Vec<(u64, Vec<&Hop>)> {
    let mut by_conversation: BTreeMap<u64, Vec<&Hop>> = BTreeMap::new();
    for hop in &analysis.replayed.hops {
        by_conversation.entry(hop.conversation).or_default().push(hop);
    }
    let weight = |hops: &[&Hop]| -> (u64, i64) {
        let delay = |h: &&Hop| h.delay.map_or(0, |d| d.p50_ns.max(0));
        (hops.iter().filter_map(|h| h.lost).sum(), hops.iter().map(delay).sum())
    };
    let mut all: Vec<_> = by_conversation.into_iter().map(|(id, hops)| (weight(&hops), id, hops)).collect();
    all.sort_by_key(|(weight, id, _)| (std::cmp::Reverse(*weight), *id));
    let mut seen = std::collections::BTreeSet::new();
    all.into_iter()
        .filter(|(_, _, hops)| seen.insert(hops.iter().map(|h| name(analysis, &h.from)).collect::<Vec<_>>()))
        .map(|(_, id, hops)| (id, hops))
        .take(MOST)
        .collect()
}

fn name(analysis: &Analysis, place: &HopPlace) -> String {
    let name = place_name(&analysis.replayed, place);
    if name.chars().count() <= NAME { name } else { name.chars().take(NAME - 1).chain(['\u{2026}']).collect() }
}

/// What one place is called, and the addresses of the conversation there.
struct Stop<'a> {
    name: String,
    place: &'a HopPlace,
}

/// Draws one conversation; `hops` are its rows.
pub(crate) fn draw(analysis: &Analysis, conversation: u64, hops: &[&Hop], is_standalone: bool) -> String {
    let mut svg = if is_standalone { Svg::standalone("way") } else { Svg::inline("way") };
    let stops = stops(analysis, hops);
    let shown = stops.len().min(MOST_PLACES);
    let flow = usize::try_from(conversation).ok().and_then(|id| analysis.replayed.flows.get(id));
    let title = flow.map_or_else(String::new, flows::title);
    svg.text((16.0, 24.0), "heading", "start", &format!("Conversation {conversation}: {title}"));
    svg.text((16.0, 44.0), "muted", "start", "Places in the order of the way, the client's first; bars are median delays between neighbours, all on one scale.");
    let longest = hops.iter().filter_map(|h| h.delay).map(|d| d.p50_ns).max().unwrap_or(1).max(1) as f64;
    for (way, x, name) in
        [(Way::ToServer, COLUMNS[0], "to the server \u{2193}"), (Way::ToClient, COLUMNS[1], "to the client \u{2191}")]
    {
        let of_way = || hops.iter().filter(|h| h.way == way);
        let whole: i64 = of_way().filter_map(|h| h.delay).map(|d| d.p50_ns.max(0)).sum();
        let lost: u64 = of_way().filter_map(|h| h.lost).sum();
        let mut words = format!("{name} {}", delay_label(whole as f64));
        if lost > 0 {
            words += &format!(", {} lost", human::count(lost));
        }
        svg.text((x, 72.0), "name", "start", &words);
    }
    for (i, stop) in stops.iter().take(shown).enumerate() {
        let y = TOP + ROW * i as f64;
        if i % 2 == 1 {
            svg.rect((0.0, y - ROW / 2.0, WIDTH, ROW), "stripe", 0.0);
        }
        if i + 1 < shown {
            svg.path(&format!("M{LINE} {}V{}", number(y), number(y + ROW)), "line", None);
        }
        let process = matches!(stop.place.observed_at, ObservedAt::Process(_));
        let class = if process { "stop process" } else { "stop" };
        svg.rect((LINE - 5.0, y - 5.0, 10.0, 10.0), class, if process { 0.0 } else { 5.0 });
        svg.text((LINE + 16.0, y + 1.0), "place", "start", &stop.name);
        let before = i.checked_sub(1).and_then(|i| stops.get(i));
        // Addresses where they are first seen, and wherever they change.
        if before.is_none_or(|b| b.place.endpoints != stop.place.endpoints) {
            let e = &stop.place.endpoints;
            let ends = [(e.client_ip, e.client_port), (e.server_ip, e.server_port)];
            let [client, server] = ends.map(|(ip, port)| flows::address(ip, port));
            svg.text((LINE + 16.0, y + 14.0), "muted", "start", &format!("{client} \u{2192} {server}"));
        }
    }
    for hop in hops {
        let i = hop.hop as usize;
        if i + 1 < shown {
            let x = COLUMNS[usize::from(hop.way == Way::ToClient)];
            // An interface that shows the directions under different addresses is two places, each of one direction: the other passes it by.
            let next = hops.iter().filter(|h| h.way == hop.way && h.hop > hop.hop).map(|h| h.hop as usize).min();
            let to = next.unwrap_or(stops.len() - 1).min(shown - 1);
            leg(&mut svg, hop, (x, TOP + ROW * (i + to) as f64 / 2.0), longest);
        }
    }
    let mut height = TOP + ROW * shown as f64 - 8.0;
    if stops.len() > shown {
        svg.text((LINE + 16.0, height + 8.0), "muted", "start", &format!("and {} more places", stops.len() - shown));
        height += 20.0;
    }
    svg.size(WIDTH, height);
    svg.finish()
}

/// One hop in one direction, around the middle between its places.
fn leg(svg: &mut Svg, hop: &Hop, (x, y): (f64, f64), longest: f64) {
    svg.open("leg", &[]);
    let mut words = Vec::new();
    if let Some(d) = hop.delay {
        let width = (d.p50_ns.max(0) as f64 / longest * BAR).max(1.0);
        let class = if hop.share.is_some_and(|s| s >= 0.5) { "hop most" } else { "hop" };
        svg.rect((x, y - 7.0, width, 14.0), class, 0.0);
        let signed =
            |ns: i64| format!("{}{}", if ns < 0 { "\u{2212}" } else { "" }, delay_label(ns.unsigned_abs() as f64));
        words.push(signed(d.p50_ns));
        if d.p95_ns > d.p50_ns.saturating_mul(2) {
            words.push(format!("p95 {}", signed(d.p95_ns)));
        }
    } else if hop.matched > 0 {
        words.push("clocks cannot be compared".to_owned());
    }
    if !hop.nat.is_empty() {
        words.push(hop.nat.to_uppercase());
    }
    let mut more = Vec::new();
    if hop.resent > 0 {
        more.push(format!("{} resent", human::count(hop.resent)));
    }
    if let Some(ns) = hop.clock_uncertainty_ns.filter(|ns| *ns > 0) {
        more.push(format!("clocks \u{b1}{}", delay_label(ns as f64)));
    }
    let start = hop.delay.map_or(x, |d| x + (d.p50_ns.max(0) as f64 / longest * BAR).max(1.0) + 6.0);
    let lost = hop.lost.filter(|l| *l > 0);
    let one_line = lost.is_none() && more.is_empty();
    svg.text((start, y + if one_line { 4.0 } else { -2.0 }), "value", "start", &words.join(", "));
    let mut below = start;
    if let Some(lost) = lost {
        let text = format!("{} of {} lost", human::count(lost), human::count(hop.packets));
        svg.text((below, y + 11.0), "failing", "start", &text);
        below += (text.len() + 2) as f64 * LETTER;
    }
    svg.text((below, y + 11.0), "muted", "start", &more.join(", "));
    let mut title = format!("{} packets, {} seen again", human::count(hop.packets), human::count(hop.matched));
    for (event, count) in &hop.events {
        title += &format!("\n{count} {event}");
    }
    for more in [&hop.evidence, &hop.statement].into_iter().filter(|m| !m.is_empty()) {
        title += &format!("\n{more}");
    }
    svg.title(&title);
    svg.close();
}

/// The places, in order.
fn stops<'a>(analysis: &Analysis, hops: &[&'a Hop]) -> Vec<Stop<'a>> {
    let mut places: BTreeMap<u32, &'a HopPlace> = BTreeMap::new();
    let ends = |hop: &&'a Hop| if hop.way == Way::ToServer { (&hop.from, &hop.to) } else { (&hop.to, &hop.from) };
    for hop in hops {
        places.entry(hop.hop).or_insert(ends(hop).0);
    }
    // The last one begins no hop.
    if let Some(last) = hops.iter().max_by_key(|h| h.hop) {
        places.insert(last.hop + 1, ends(last).1);
    }
    places.into_values().map(|place| Stop { name: name(analysis, place), place }).collect()
}
