//! What tcptrace draws of a TCP flow, for each direction: the time-sequence plot (what was sent, what was acknowledged of it, how far
//! the receiver's window allowed to go), below it on the same axis round trips, throughput and outstanding data, and close-ups of
//! the parts with most trouble, where each packet is drawn with all that is to be seen of it.

mod closeup;
mod graphs;
mod panel;
mod shapes;
mod ticks;

use super::svg::{Svg, number};
use crate::human;
use crate::report::flows;
use panel::{LEGEND, Panel, Used};
use replay::model::{Flow, Side};
use replay::tcp_packets::TcpPacket;

const LEFT: f64 = 86.0;
const WIDTH: f64 = 880.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 84.0;
const HEIGHT: f64 = 300.0;
/// Height of a close-up.
const CLOSE: f64 = 260.0;
/// Between panels: the axis of the upper one, the heading of the lower one.
const BETWEEN: f64 = 62.0;

/// Draws the packets of a flow; `None` if no side sent data.
pub(crate) fn draw(flow: &Flow, packets: &[TcpPacket], is_standalone: bool) -> Option<String> {
    let sides: Vec<Side> = [Side::Client, Side::Server]
        .into_iter()
        .filter(|side| packets.iter().any(|p| p.sender == *side && p.payload_bytes > 0))
        .collect();
    if sides.is_empty() {
        return None;
    }
    let mut svg = if is_standalone { Svg::standalone("sequence") } else { Svg::inline("sequence") };
    svg.text((16.0, 24.0), "heading", "start", &format!("Flow {}: {}", flow.flow_id, flows::title(flow)));
    let mut used = [false; LEGEND.len()];
    let mut top = TOP;
    for side in sides {
        top = direction(&mut svg, flow, packets, side, top, &mut used);
    }
    svg.size(LEFT + WIDTH + RIGHT, top - BETWEEN + 34.0);
    legend(&mut svg, &used);
    Some(svg.finish())
}

/// All about one direction; returns where the next one may begin.
fn direction(svg: &mut Svg, flow: &Flow, packets: &[TcpPacket], side: Side, top: f64, used: &mut Used) -> f64 {
    let whole = Panel::new(packets, side, (top, HEIGHT), packets.iter().map(|p| p.ts).min().unwrap_or(flow.start));
    svg.text((LEFT, top - 10.0), "name", "start", &summary(flow, packets, side));
    let parts = closeup::choose(packets, side);
    let names = ["A", "B", "C", "D"];
    // Where they are, below what is drawn.
    for (part, name) in parts.iter().zip(names) {
        let Some(packets) = packets.get(part.clone()) else { continue };
        let (from, to) = (packets.first().map_or(0, |p| p.ts), packets.last().map_or(0, |p| p.ts));
        let (left, right) = (whole.x(from), whole.x(to).max(whole.x(from) + 2.0));
        svg.rect((left, top, right - left, HEIGHT), "part", 0.0);
        svg.text(((left + right) / 2.0, top + HEIGHT - 6.0), "letter flag", "middle", name);
    }
    whole.draw(svg, used);
    let mut bottom = top + HEIGHT;
    if packets.iter().filter(|p| p.sender == side && p.payload_bytes > 0).count() >= graphs::FEWEST {
        graphs::draw(svg, &whole, bottom + 22.0);
        bottom += graphs::TOTAL + 22.0;
    }
    for (part, name) in parts.into_iter().zip(names) {
        let Some(packets) = packets.get(part) else { continue };
        let panel = Panel::new(packets, side, (bottom + BETWEEN, CLOSE), whole.from);
        let again = packets.iter().filter(|p| p.sender == side && p.marks.is_retransmission()).count();
        let words = format!(
            "{name}: {} of it, {} packets, {again} sent again",
            super::red::delay_label(panel.length),
            packets.len()
        );
        svg.text((LEFT, panel.top - 10.0), "name", "start", &words);
        panel.draw(svg, used);
        bottom = panel.top + CLOSE;
    }
    bottom + BETWEEN + 10.0
}

fn summary(flow: &Flow, packets: &[TcpPacket], side: Side) -> String {
    let names = ["client", "server"];
    let (i, j) = (side.index(), side.other().index());
    let sides = [&flow.client, &flow.server];
    let again = packets.iter().filter(|p| p.sender == side && p.marks.is_retransmission()).count();
    format!(
        "{} to {}: {} in {} packets, {again} sent again, {} out of order; answers: {} duplicate acks, {} zero windows",
        names[i],
        names[j],
        human::bytes(sides[i].payload_bytes),
        human::count(sides[i].packets),
        sides[i].out_of_order,
        sides[j].duplicate_acks,
        sides[j].zero_window,
    )
}

fn legend(svg: &mut Svg, used: &Used) {
    let mut x = LEFT;
    for ((class, name, shape), _) in LEGEND.iter().zip(used).filter(|(_, used)| **used) {
        let path = match *shape {
            "bar" => format!("M{x} 36V46"),
            "down" => format!("M{} 38h8M{x} 38v7", x - 4.0),
            "up" => format!("M{} 44h8M{x} 44v-7", x - 4.0),
            "diamond" => format!("M{x} 38l3 3l-3 3l-3 -3z"),
            _ => format!("M{} 41h12", number(x - 6.0)),
        };
        svg.path(&path, class, None);
        svg.text((x + 11.0, 45.0), "muted", "start", name);
        x += 28.0 + name.chars().count() as f64 * 6.0;
    }
}
