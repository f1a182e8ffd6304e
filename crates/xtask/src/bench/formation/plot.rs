//! The plot: bars of the medians on a logarithmic scale of seconds, with a dot for each run.

use std::fmt::Write as _;

use super::results::{Results, Run, median, sorted};
use crate::bench::svg::{Scale, head, line, rect, text};

const HEIGHT: f64 = 430.0;
/// The plane of the bars within the picture.
const LEFT: f64 = 64.0;
const RIGHT: f64 = 740.0;
const TOP: f64 = 84.0;
const BOTTOM: f64 = 360.0;
/// The share of a group's width that one bar takes.
const BAR: f64 = 0.34;

/// The two sides: name, color of the bar, color of the dots on it.
const SIDES: [(&str, &str, &str); 2] =
    [("redtrove", "#c6302b", "#5c1210"), ("redis-cli --cluster create", "#9aa0a8", "#40454c")];

/// The whole picture.
pub(super) fn draw(results: &Results) -> String {
    let runs = results.formation.iter().flat_map(|formation| formation.redtrove.iter().chain(&formation.redis_cli));
    let scale = Scale::of(runs.map(|run| run.seconds));
    let mut svg =
        head(HEIGHT, LEFT, "Time until all nodes of a new cluster agree", &SIDES.map(|(name, color, _)| (name, color)));
    text(&mut svg, (RIGHT, 55.0), "end", 12, "seconds, logarithmic; bars are medians, dots are runs");
    for seconds in scale.grid() {
        let y = height(scale, seconds);
        line(&mut svg, (LEFT, y), (RIGHT, y), "#d8dbe0");
        text(&mut svg, (LEFT - 8.0, y + 4.0), "end", 12, &format!("{seconds} s"));
    }
    #[expect(clippy::cast_precision_loss, reason = "a handful of groups")]
    let width = (RIGHT - LEFT) / results.formation.len().max(1) as f64;
    let mut left = LEFT;
    for formation in &results.formation {
        let middle = left + width / 2.0;
        for (runs, side, shift) in [(&formation.redtrove, 0, -BAR), (&formation.redis_cli, 1, 0.0)] {
            bar(&mut svg, scale, runs, side, (middle + shift * width, BAR * width));
        }
        text(&mut svg, (middle, BOTTOM + 20.0), "middle", 13, &format!("{} nodes", formation.nodes));
        text(&mut svg, (middle, BOTTOM + 40.0), "middle", 13, &format!("{:.1} times faster", formation.factor()));
        left += width;
    }
    svg.push_str("</svg>\n");
    svg
}

fn height(scale: Scale, seconds: f64) -> f64 {
    BOTTOM - scale.share(seconds) * (BOTTOM - TOP)
}

fn bar(svg: &mut String, scale: Scale, runs: &[Run], side: usize, (x, width): (f64, f64)) {
    let Some((_, color, dots)) = SIDES.get(side) else { return };
    let middle = median(runs);
    let y = height(scale, middle);
    rect(svg, (x, y), (width - 4.0, BOTTOM - y), color);
    let center = x + width / 2.0 - 2.0;
    let times = sorted(runs);
    for seconds in &times {
        let y = height(scale, *seconds);
        let _ = writeln!(svg, "<circle cx=\"{center:.1}\" cy=\"{y:.1}\" r=\"2.5\" fill=\"{dots}\"/>");
    }
    let above = height(scale, times.last().copied().unwrap_or(middle)).min(y) - 8.0;
    text(svg, (center, above), "middle", 12, &format!("{middle:.2}"));
}

#[cfg(test)]
mod tests {
    use super::super::results::tests::results;
    use super::draw;

    #[test]
    fn every_size_has_two_bars_and_a_dot_for_each_run() {
        let svg = draw(&results(&[3, 6, 30], 9.0, 2.0));
        assert_eq!(svg.matches("<circle").count(), 18);
        // The ground, two keys, and the bars.
        assert_eq!(svg.matches("<rect").count(), 3 + 6);
        assert_eq!(svg.matches("9.0 times faster").count(), 3);
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
        assert_eq!(svg, draw(&results(&[3, 6, 30], 9.0, 2.0)));
    }
}
