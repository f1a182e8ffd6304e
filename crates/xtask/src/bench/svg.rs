//! What the plots are drawn with: SVG, written by hand so that the same results always give the same file.

use std::fmt::Write as _;

/// The width of every plot.
pub(super) const WIDTH: f64 = 760.0;

/// The begin of a picture: its ground, its title and the keys of its colours.
pub(super) fn head(height: f64, left: f64, title: &str, keys: &[(&str, &str)]) -> String {
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
         font-family=\"sans-serif\">\n<title>{title}</title>\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>\n"
    );
    text(&mut svg, (left, 28.0), "start", 17, title);
    let mut at = left;
    for (name, color) in keys {
        rect(&mut svg, (at, 44.0), (12.0, 12.0), color);
        text(&mut svg, (at + 18.0, 55.0), "start", 13, name);
        at += 110.0;
    }
    svg
}

/// A filled rectangle.
pub(super) fn rect(svg: &mut String, (x, y): (f64, f64), (width, height): (f64, f64), color: &str) {
    let _ =
        writeln!(svg, "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{color}\"/>");
}

/// A line.
pub(super) fn line(svg: &mut String, (x1, y1): (f64, f64), (x2, y2): (f64, f64), color: &str) {
    let _ = writeln!(svg, "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"{color}\"/>");
}

/// Words at a place: `anchor` is start, middle or end.
pub(super) fn text(svg: &mut String, (x, y): (f64, f64), anchor: &str, size: u8, words: &str) {
    let _ = writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" font-size=\"{size}\" fill=\"#202329\">{words}</text>"
    );
}

/// A logarithmic scale: whole powers of ten that hold all values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Scale {
    low: i32,
    high: i32,
}

/// What is not above this is drawn as this.
const LEAST: f64 = 0.001;

impl Scale {
    /// A scale for these values.
    pub(super) fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let (mut least, mut most) = (f64::INFINITY, LEAST);
        for value in values {
            (least, most) = (least.min(value.max(LEAST)), most.max(value));
        }
        #[expect(clippy::cast_possible_truncation, reason = "clamped to a few decades")]
        let whole = |power: f64| power.clamp(-3.0, 6.0) as i32;
        let high = whole(most.log10().ceil());
        let low = whole(least.log10().floor()).min(high.max(-2) - 1);
        Self { low, high: high.max(low + 1) }
    }

    /// The powers of ten of its grid.
    pub(super) fn grid(self) -> impl Iterator<Item = f64> {
        (self.low..=self.high).map(|power| 10f64.powi(power))
    }

    /// How far along the scale a value is, 0 to 1; nothing is outside.
    pub(super) fn share(self, value: f64) -> f64 {
        let share = (value.max(LEAST).log10() - f64::from(self.low)) / f64::from(self.high - self.low);
        share.clamp(0.0, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Scale;

    #[test]
    fn the_scale_is_logarithmic() {
        let scale = Scale { low: -1, high: 2 };
        assert_eq!((scale.share(0.1), scale.share(100.0)), (0.0, 1.0));
        assert!((scale.share(10.0) - scale.share(1.0) - 1.0 / 3.0).abs() < 1e-9);
        assert_eq!(scale.share(0.0), 0.0, "nothing is drawn outside");
    }

    #[test]
    fn the_scale_holds_every_value() {
        assert_eq!(Scale::of([0.4, 60.0]), Scale { low: -1, high: 2 });
        assert_eq!(Scale::of([10.0, 10.0]), Scale { low: 0, high: 1 });
        let none = Scale::of([]);
        assert!(none.low < none.high);
    }
}
