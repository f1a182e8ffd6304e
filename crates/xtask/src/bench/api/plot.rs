//! The plot: requests a second on a logarithmic scale, Trove's as it was measured elsewhere, with the aims.

use super::results::{Results, Row};
use super::targets::{self, peer};
use crate::bench::svg::{Scale, WIDTH, head, line, rect, text};

/// The plane of the bars within the picture.
const LEFT: f64 = 150.0;
const RIGHT: f64 = WIDTH - 70.0;
const TOP: f64 = 84.0;
/// The height of a bar with the space below it.
const BAR: f64 = 20.0;
/// The space between operations.
const GAP: f64 = 14.0;

const TROVE: &str = "#9aa0a8";
const OURS: &str = "#c6302b";
const AIM: &str = "#202329";

/// The operations of the first table.
pub(super) fn draw(results: &Results) -> String {
    let rows: Vec<&Row> = results.seeded.iter().take(1).flat_map(|table| &table.rows).collect();
    let groups: Vec<&[&Row]> = rows.chunk_by(|one, other| one.operation == other.operation).collect();
    let rates = rows.iter().map(|row| row.answers.per_second());
    let peers = rows.iter().filter_map(|row| peer(row.operation)).map(|peer| peer.least);
    let scale = Scale::of(rates.chain(peers));
    let height: f64 = groups.iter().map(|group| group_height(group)).sum();
    let bottom = TOP + height;
    let title = "Requests a second that the API serves, at 1 and at 16 connections";
    let mut svg = head(bottom + 40.0, LEFT, title, &[("redtrove", OURS), ("Trove 26, measured elsewhere", TROVE)]);
    text(&mut svg, (RIGHT, 55.0), "end", 12, "logarithmic; lines are aims");
    for rate in scale.grid() {
        let x = along(scale, rate);
        line(&mut svg, (x, TOP - 6.0), (x, bottom), "#d8dbe0");
        text(&mut svg, (x, bottom + 18.0), "middle", 12, &rate.to_string());
    }
    let mut y = TOP;
    for group in groups {
        draw_group(&mut svg, scale, group, y);
        y += group_height(group);
    }
    svg.push_str("</svg>\n");
    svg
}

#[expect(clippy::cast_precision_loss, reason = "a handful of bars")]
fn group_height(group: &[&Row]) -> f64 {
    (group.len() + 1) as f64 * BAR + GAP
}

fn along(scale: Scale, rate: f64) -> f64 {
    LEFT + scale.share(rate) * (RIGHT - LEFT)
}

/// A bar for each number of connections and one for Trove, as far as it was measured.
fn draw_group(svg: &mut String, scale: Scale, group: &[&Row], top: f64) {
    let mut y = top;
    for row in group {
        let (rate, name) = (row.answers.per_second(), row.operation.name());
        text(svg, (LEFT - 8.0, y + 13.0), "end", 12, &format!("{name}, {}", row.connections));
        let x = along(scale, rate);
        rect(svg, (LEFT, y), (x - LEFT, BAR - 4.0), OURS);
        text(svg, (x + 6.0, y + 13.0), "start", 12, &format!("{rate:.0}"));
        if let Some(aim) = targets::aim(row.operation, row.connections) {
            let x = along(scale, aim);
            line(svg, (x, y - 2.0), (x, y + BAR - 2.0), AIM);
        }
        y += BAR;
    }
    let Some(peer) = group.first().and_then(|row| peer(row.operation)) else { return };
    text(svg, (LEFT - 8.0, y + 13.0), "end", 12, "Trove");
    let x = along(scale, peer.most);
    rect(svg, (LEFT, y), (x - LEFT, BAR - 4.0), TROVE);
    let words =
        if peer.least < peer.most { format!("{} to {}", peer.least, peer.most) } else { peer.least.to_string() };
    text(svg, (x + 6.0, y + 13.0), "start", 12, &words);
}

#[cfg(test)]
mod tests {
    use super::super::results::tests::results;
    use super::draw;

    #[test]
    fn every_row_has_a_bar_and_every_operation_its_peer() {
        let svg = draw(&results(4_000.0, 1.5, 20.0));
        // The ground, two keys, three rows, and Trove's list and show.
        assert_eq!(svg.matches("<rect").count(), 3 + 3 + 2);
        for words in ["list, 20 a page, 1", "show, 16", "10 to 22", "4000"] {
            assert!(svg.contains(words), "{words}");
        }
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
        assert_eq!(svg, draw(&results(4_000.0, 1.5, 20.0)));
    }
}
