//! The plot: an SVG, written by hand so that the same results always give the same file.

use std::fmt::Write as _;

use super::results::{Results, Run, median, sorted};

const WIDTH: f64 = 760.0;
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

/// Bars of the medians on a logarithmic scale of seconds, with a dot for each run.
pub(super) fn draw(results: &Results) -> String {
    let scale = Scale::of(results);
    let mut svg = head();
    grid(&mut svg, &scale);
    #[expect(clippy::cast_precision_loss, reason = "a handful of groups")]
    let width = (RIGHT - LEFT) / results.formation.len().max(1) as f64;
    let mut left = LEFT;
    for formation in &results.formation {
        let middle = left + width / 2.0;
        for (runs, side, shift) in [(&formation.redtrove, 0, -BAR), (&formation.redis_cli, 1, 0.0)] {
            bar(&mut svg, &scale, runs, side, (middle + shift * width, BAR * width));
        }
        text(&mut svg, (middle, BOTTOM + 20.0), "middle", 13, &format!("{} nodes", formation.nodes));
        text(&mut svg, (middle, BOTTOM + 40.0), "middle", 13, &format!("{:.1} times faster", formation.factor()));
        left += width;
    }
    svg.push_str("</svg>\n");
    svg
}

fn head() -> String {
    let title = "Time until all nodes of a new cluster agree";
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
         font-family=\"sans-serif\">\n<title>{title}</title>\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#ffffff\"/>\n"
    );
    text(&mut svg, (LEFT, 28.0), "start", 17, title);
    let mut at = LEFT;
    for (name, color, _) in SIDES {
        let _ = writeln!(svg, "<rect x=\"{at:.1}\" y=\"44\" width=\"12\" height=\"12\" fill=\"{color}\"/>");
        text(&mut svg, (at + 18.0, 55.0), "start", 13, name);
        at += 110.0;
    }
    text(&mut svg, (RIGHT, 55.0), "end", 12, "seconds, logarithmic; bars are medians, dots are runs");
    svg
}

fn grid(svg: &mut String, scale: &Scale) {
    for power in scale.low..=scale.high {
        let seconds = 10f64.powi(power);
        let y = scale.y(seconds);
        let _ =
            writeln!(svg, "<line x1=\"{LEFT:.1}\" y1=\"{y:.1}\" x2=\"{RIGHT:.1}\" y2=\"{y:.1}\" stroke=\"#d8dbe0\"/>");
        text(svg, (LEFT - 8.0, y + 4.0), "end", 12, &format!("{seconds} s"));
    }
}

fn bar(svg: &mut String, scale: &Scale, runs: &[Run], side: usize, (x, width): (f64, f64)) {
    let Some((_, color, dots)) = SIDES.get(side) else { return };
    let middle = median(runs);
    let y = scale.y(middle);
    let _ = writeln!(
        svg,
        "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{color}\"/>",
        width - 4.0,
        BOTTOM - y
    );
    let center = x + width / 2.0 - 2.0;
    let times = sorted(runs);
    for seconds in &times {
        let _ = writeln!(svg, "<circle cx=\"{center:.1}\" cy=\"{:.1}\" r=\"2.5\" fill=\"{dots}\"/>", scale.y(*seconds));
    }
    let above = scale.y(times.last().copied().unwrap_or(middle)).min(y) - 8.0;
    text(svg, (center, above), "middle", 12, &format!("{middle:.2}"));
}

fn text(svg: &mut String, (x, y): (f64, f64), anchor: &str, size: u8, words: &str) {
    let _ = writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" font-size=\"{size}\" fill=\"#202329\">{words}</text>"
    );
}

/// Whole powers of ten that hold all times.
struct Scale {
    low: i32,
    high: i32,
}

impl Scale {
    fn of(results: &Results) -> Self {
        let runs = results.formation.iter().flat_map(|formation| formation.redtrove.iter().chain(&formation.redis_cli));
        let times: Vec<f64> = runs.map(|run| run.seconds.max(0.001)).collect();
        let power = |seconds: f64, up: bool| {
            let power = seconds.log10();
            let whole = if up { power.ceil() } else { power.floor() };
            #[expect(clippy::cast_possible_truncation, reason = "clamped to a few decades")]
            let whole = whole.clamp(-3.0, 6.0) as i32;
            whole
        };
        let low = power(times.iter().copied().fold(f64::INFINITY, f64::min), false);
        let high = power(times.iter().copied().fold(0.001, f64::max), true);
        Self { low: low.min(2), high: high.max(low + 1) }
    }

    fn y(&self, seconds: f64) -> f64 {
        let share = (seconds.max(0.001).log10() - f64::from(self.low)) / f64::from(self.high - self.low);
        BOTTOM - share.clamp(0.0, 1.0) * (BOTTOM - TOP)
    }
}

#[cfg(test)]
mod tests {
    use super::{BOTTOM, Scale, TOP, draw};
    use crate::bench::results::tests::results;

    #[test]
    fn the_scale_is_logarithmic() {
        let scale = Scale { low: -1, high: 2 };
        assert_eq!((scale.y(0.1), scale.y(100.0)), (BOTTOM, TOP));
        assert!((scale.y(1.0) - scale.y(10.0) - (BOTTOM - TOP) / 3.0).abs() < 1e-9);
        assert_eq!(scale.y(0.0), BOTTOM, "nothing is drawn outside");
    }

    #[test]
    fn the_scale_holds_every_time() {
        let scale = Scale::of(&results(&[3, 6], 100.0, 2.0));
        assert_eq!((scale.low, scale.high), (-1, 2));
        let none = Scale::of(&results(&[], 1.0, 2.0));
        assert!(none.low < none.high);
    }

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
