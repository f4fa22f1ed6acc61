//! Horizontal bars on logarithmic axes, one axis for each unit.

use std::fmt::Write;

use tidings_bench::{OURS, short};

use crate::results::{Bar, Group};

const WIDTH: f64 = 760.0;
const MARGIN: f64 = 16.0;
/// Where bars begin; names end before.
const LEFT: f64 = 168.0;
/// Where the longest bar may end; its figure comes after.
const RIGHT: f64 = 700.0;
const BAR: f64 = 12.0;
const ROW: f64 = 16.0;

const STYLE: &str = "\
text { font: 11px system-ui, sans-serif; fill: #424a53; }
.title { font-size: 14px; font-weight: 600; fill: #1f2328; }
.workload, .ours { font-weight: 600; fill: #1f2328; }
.name { text-anchor: end; }
.figure { paint-order: stroke; stroke: #ffffff; stroke-width: 4px; }
.tick { text-anchor: middle; fill: #6e7781; font-size: 10px; }
.page { fill: #ffffff; }
.line { stroke: #d0d7de; stroke-width: 1; }
.bar { fill: #afb8c1; }
.bar.ours { fill: #1a7f64; }
@media (prefers-color-scheme: dark) {
text { fill: #9ea7b3; }
.title, .workload, .ours { fill: #e6edf3; }
.tick { fill: #848d97; }
.page { fill: #0d1117; }
.figure { stroke: #0d1117; }
.line { stroke: #30363d; }
.bar { fill: #57606a; }
.bar.ours { fill: #3fb68b; }
}
";

/// Units in the order in which they are drawn, and what they are called.
const UNITS: [(&str, &str); 5] = [
    ("ev/s", "events or deliveries a second (logarithmic, more is better)"),
    ("ns", "nanoseconds (logarithmic, less is better)"),
    ("ms", "milliseconds (logarithmic, less is better)"),
    ("B/ev", "bytes for each event (logarithmic, less is better)"),
    ("MiB", "resident MiB (logarithmic, less is better)"),
];

/// The whole picture.
pub(crate) fn draw(groups: &[Group]) -> String {
    let mut picture = Picture { body: String::new(), y: MARGIN };
    for (unit, title) in UNITS {
        let groups: Vec<&Group> = groups.iter().filter(|group| group.unit == unit).collect();
        if !groups.is_empty() {
            picture.section(title, &groups);
        }
    }
    let Picture { body, y } = picture;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{y}\" \
         viewBox=\"0 0 {WIDTH} {y}\">\n<style>\n{STYLE}</style>\n\
         <rect class=\"page\" width=\"{WIDTH}\" height=\"{y}\"/>\n{body}</svg>\n"
    )
}

/// From one power of ten to another.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Axis {
    low: i32,
    high: i32,
}

impl Axis {
    /// Begins below the least figure, so that every bar has a length.
    fn over(figures: impl Iterator<Item = f64> + Clone) -> Self {
        let least = figures.clone().fold(f64::INFINITY, f64::min);
        let most = figures.fold(0.0, f64::max);
        #[allow(clippy::cast_possible_truncation)] // between -300 and 300
        let (low, high) = ((least / 2.0).log10().floor() as i32, most.log10().ceil() as i32);
        Self { low, high: high.max(low + 1) }
    }

    fn x(self, figure: f64) -> f64 {
        let share = (figure.log10() - f64::from(self.low)) / f64::from(self.high - self.low);
        LEFT + share * (RIGHT - LEFT)
    }

    fn ticks(self) -> impl Iterator<Item = f64> {
        (self.low..=self.high).map(|power| 10_f64.powi(power))
    }
}

struct Picture {
    body: String,
    y: f64,
}

impl Picture {
    /// Everything of one unit.
    fn section(&mut self, title: &str, groups: &[&Group]) {
        let bars = groups.iter().flat_map(|group| &group.bars);
        let axis = Axis::over(bars.map(|bar| bar.figure));
        self.y += 14.0;
        self.text("title", MARGIN, self.y, title);
        self.y += 22.0;
        let end = self.y + groups.iter().map(|group| height(group)).sum::<f64>();
        for tick in axis.ticks() {
            let x = axis.x(tick);
            self.text("tick", x, self.y, &tick_label(tick));
            self.line(x, self.y + 6.0, end);
        }
        self.y += 6.0;
        for group in groups {
            self.group(group, axis);
        }
        self.y = end + 24.0;
    }

    fn group(&mut self, group: &Group, axis: Axis) {
        self.y += 18.0;
        self.text("workload", MARGIN, self.y, &group.workload);
        self.y += 6.0;
        for bar in &group.bars {
            self.bar(bar, axis);
        }
    }

    fn bar(&mut self, bar: &Bar, axis: Axis) {
        let ours = if bar.name == OURS { " ours" } else { "" };
        let (y, text) = (self.y, self.y + BAR - 2.0);
        let end = axis.x(bar.figure);
        self.text(&format!("name{ours}"), LEFT - 8.0, text, name(bar));
        let length = end - LEFT;
        let rect = format!("x=\"{LEFT}\" y=\"{y:.1}\" width=\"{length:.1}\" height=\"{BAR}\"");
        self.put(format_args!("<rect class=\"bar{ours}\" {rect}/>"));
        self.text(&format!("figure{ours}"), end + 5.0, text, &short(bar.figure));
        self.y += ROW;
    }

    fn line(&mut self, x: f64, from: f64, to: f64) {
        let line = format!("x1=\"{x:.1}\" y1=\"{from:.1}\" x2=\"{x:.1}\" y2=\"{to:.1}\"");
        self.put(format_args!("<line class=\"line\" {line}/>"));
    }

    fn text(&mut self, class: &str, x: f64, y: f64, text: &str) {
        let text = text.replace('&', "&amp;").replace('<', "&lt;");
        self.put(format_args!("<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{text}</text>"));
    }

    fn put(&mut self, element: std::fmt::Arguments<'_>) {
        writeln!(self.body, "{element}").ok(); // a string takes everything
    }
}

fn height(group: &Group) -> f64 {
    group.bars.iter().fold(24.0, |height, _| height + ROW)
}

fn name(bar: &Bar) -> &str {
    if bar.name == OURS { "tidings" } else { &bar.name }
}

/// A power of ten.
fn tick_label(tick: f64) -> String {
    match tick {
        1e9.. => format!("{}G", tick / 1e9),
        1e6.. => format!("{}M", tick / 1e6),
        1e3.. => format!("{}k", tick / 1e3),
        _ => format!("{tick}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(unit: &str, bars: &[(&str, f64)]) -> Group {
        let bar = |(name, figure): &(&str, f64)| Bar { name: (*name).into(), figure: *figure };
        let bars = bars.iter().map(bar).collect();
        Group { workload: "log/<x>".into(), unit: unit.into(), bars }
    }

    #[test]
    fn an_axis_holds_every_figure() {
        let axis = Axis::over([1200.0, 950_000.0].into_iter());
        assert_eq!(axis, Axis { low: 2, high: 6 });
        assert!((axis.x(100.0) - LEFT).abs() < 1e-9);
        assert!((axis.x(1e6) - RIGHT).abs() < 1e-9);
        assert_eq!(axis.ticks().map(tick_label).last(), Some("1M".into()));
    }

    #[test]
    fn one_figure_has_an_axis_too() {
        let axis = Axis::over([1000.0].into_iter());
        assert!(axis.x(1000.0) > LEFT && axis.x(1000.0) <= RIGHT);
    }

    #[test]
    fn bars_are_as_long_as_their_figures_and_ours_stands_out() {
        let svg = draw(&[group("ev/s", &[("ours", 1e6), ("raw", 1e3)])]);
        let bars: Vec<&str> = svg.lines().filter(|line| line.contains("class=\"bar")).collect();
        assert_eq!(bars.len(), 2, "{svg}");
        assert!(bars[0].contains("class=\"bar ours\"") && bars[0].contains("width=\"532.0\""));
        assert!(bars[1].contains("class=\"bar\"") && bars[1].contains("width=\"133.0\""));
        assert!(svg.contains("log/&lt;x>") && svg.contains(">tidings<"), "{svg}");
    }

    #[test]
    fn each_unit_has_a_section_and_others_are_left_out() {
        let svg = draw(&[group("ms", &[("ours", 2.0)]), group("ev/s", &[("ours", 1.0)])]);
        let at = |text: &str| svg.find(text).unwrap_or(usize::MAX);
        assert!(at("a second") < at("milliseconds") && at("milliseconds") < usize::MAX);
        assert_eq!(at("bytes"), usize::MAX);
    }
}
