//! Draws runs over one trace as SVG or PNG, with load, replicas and saturation below each other.

mod time_axis;

use crate::Point;
use crate::chart::time_axis::TimeAxis;
use crate::decimation::{StepPoint, decimated};
use plotters::coord::Shift;
use plotters::prelude::*;
use std::fmt::Display;
use std::path::Path;
use std::sync::Once;

/// Width in pixels.
const WIDTH: u32 = 1_200;

/// Height of a part in pixels, if its legend is not higher.
const PART_HEIGHT: u32 = 300;

/// Height of a line of a legend, and of its margins, in pixels.
const LEGEND_LINE: u32 = 17;
const LEGEND_MARGINS: u32 = 50;

/// Widths in pixels: the line next to a name in a legend, the gap between both, a letter of the font, and a whole legend.
const SAMPLE: i32 = 24;
const GAP: i32 = 6;
const LETTER: usize = 7;
const LEGEND_WIDTHS: (usize, usize) = (120, 320);

/// One colour per run, distinguishable with any colour vision (Okabe and Ito, 2008).
const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
];

const GREY: RGBColor = RGBColor(150, 150, 150);

/// Other colours for a dark screen, as a style sheet: the drawing is light.
const DARK: &str = r##"<style>@media (prefers-color-scheme: dark) {
[fill="#FFFFFF"] { fill: #0D1117 }
[fill="#000000"] { fill: #E6EDF3 }
[stroke="#000000"] { stroke: #E6EDF3 }
[stroke="#0072B2"] { stroke: #4CA6E8 }
}</style>
"##;

/// The name and the points of a run.
pub type Run<'a> = (&'a str, &'a [Point]);

/// The chart as SVG. It is light or dark as the screen of its reader.
///
/// # Errors
/// If drawing fails.
pub fn svg(runs: &[Run<'_>]) -> Result<String, String> {
    let parts = parts(runs);
    let mut text = String::new();
    let area = SVGBackend::with_string(&mut text, size(&parts)).into_drawing_area();
    draw(&area, &parts)?;
    drop(area);
    let begin = text.find('>').map_or(0, |at| at + 2);
    text.insert_str(begin.min(text.len()), DARK);
    Ok(text)
}

/// Writes the chart as a PNG file.
///
/// # Errors
/// If drawing or writing fails.
pub fn png(runs: &[Run<'_>], path: &Path) -> Result<(), String> {
    let parts = parts(runs);
    draw(&BitMapBackend::new(path, size(&parts)).into_drawing_area(), &parts)
}

/// Registers an embedded font, because the system's fonts are unknown.
fn register_font() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let registered =
            plotters::style::register_font("sans-serif", FontStyle::Normal, epaint_default_fonts::UBUNTU_LIGHT);
        assert!(registered.is_ok(), "the embedded font is valid");
    });
}

/// One of the diagrams below each other.
struct Part {
    title: &'static str,
    /// In the order of the legend, the most important first. It is drawn last, above the others.
    lines: Vec<Line>,
}

struct Line {
    name: String,
    style: ShapeStyle,
    points: Vec<StepPoint>,
}

impl Line {
    fn new(name: String, style: ShapeStyle, points: &[Point], value: impl Fn(&Point) -> f64) -> Self {
        Self { name, style, points: decimated(points.iter().map(|point| (point.at, value(point)))) }
    }
}

fn parts(runs: &[Run<'_>]) -> [Part; 3] {
    let first: &[Point] = runs.first().map_or(&[], |(_, points)| points);
    let load = Line::new("load".to_owned(), BLACK.stroke_width(1), first, |point| point.load);
    let (mut targets, mut ready, mut running, mut saturation) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for ((name, points), colour) in runs.iter().zip(COLOURS.iter().cycle()) {
        // Wider and paler lines below narrow ones, so that each is visible where all are equal.
        let style = |opacity: f64, width: u32| colour.mix(opacity).stroke_width(width);
        targets.push(Line::new(format!("{name}: target"), style(1.0, 1), points, |point| f64::from(point.wanted)));
        ready.push(Line::new(format!("{name}: ready"), style(0.5, 3), points, |point| f64::from(point.ready)));
        running.push(Line::new(format!("{name}: running"), style(0.25, 5), points, |point| f64::from(point.running)));
        saturation.push(Line::new((*name).to_owned(), style(1.0, 1), points, |point| point.saturation));
    }
    let needed = Line::new("needed".to_owned(), GREY.stroke_width(1), first, |point| f64::from(point.needed));
    let replicas = targets.into_iter().chain(ready).chain(running).chain([needed]).collect();
    [
        Part { title: "load (per second)", lines: vec![load] },
        Part { title: "replicas", lines: replicas },
        Part { title: "saturation (share of the capacity in use)", lines: saturation },
    ]
}

fn height(part: &Part) -> u32 {
    let lines = u32::try_from(part.lines.len()).unwrap_or(u32::MAX);
    PART_HEIGHT.max(lines.saturating_mul(LEGEND_LINE).saturating_add(LEGEND_MARGINS))
}

fn size(parts: &[Part]) -> (u32, u32) {
    (WIDTH, parts.iter().map(height).sum())
}

fn draw<B: DrawingBackend>(area: &DrawingArea<B, Shift>, parts: &[Part]) -> Result<(), String> {
    register_font();
    area.fill(&WHITE).map_err(text)?;
    let times = || parts.iter().flat_map(|part| &part.lines).flat_map(|line| &line.points).map(|(at, _)| *at);
    let axis = TimeAxis::new(times().min().unwrap_or_default(), times().max().unwrap_or_default());
    let longest = parts.iter().flat_map(|part| &part.lines).map(|line| line.name.chars().count()).max().unwrap_or(0);
    let legend_width =
        (longest * LETTER).clamp(LEGEND_WIDTHS.0, LEGEND_WIDTHS.1) + 2 * usize::try_from(SAMPLE).unwrap_or(0);
    let mut rest = area.clone();
    for (index, part) in parts.iter().enumerate() {
        let (here, below) = rest.split_vertically(height(part));
        rest = below;
        let (diagram, legend) = here.split_horizontally(WIDTH - u32::try_from(legend_width).unwrap_or(0));
        let is_lowest = index + 1 == parts.len();
        draw_diagram(&diagram, part, axis, is_lowest)?;
        draw_legend(&legend, part, legend_width / LETTER)?;
    }
    area.present().map_err(text)
}

fn text(error: impl Display) -> String {
    error.to_string()
}

fn draw_diagram<B: DrawingBackend>(
    area: &DrawingArea<B, Shift>,
    part: &Part,
    axis: TimeAxis,
    is_lowest: bool,
) -> Result<(), String> {
    let values = part.lines.iter().flat_map(|line| &line.points).map(|(_, value)| *value);
    let top = values.fold(0.0_f64, f64::max);
    let mut chart = ChartBuilder::on(area)
        .caption(part.title, ("sans-serif", 20))
        .margin(10)
        // The last date reaches beyond the end of the axis.
        .margin_right(40)
        .x_label_area_size(if is_lowest { 50 } else { 30 })
        .y_label_area_size(60)
        .build_cartesian_2d(axis, 0.0..(top * 1.1).max(1e-3))
        .map_err(text)?;
    let mut mesh = chart.configure_mesh();
    if is_lowest {
        mesh.x_desc(axis.description());
    }
    // More labels than the axis has.
    mesh.x_labels(100).label_style(("sans-serif", 13)).max_light_lines(0).draw().map_err(text)?;
    for line in part.lines.iter().rev() {
        // A value holds until the next change, so it is drawn as steps.
        let points = &line.points;
        let steps = points.windows(2).flat_map(|pair| [pair[0], (pair[1].0, pair[0].1)]).chain(points.last().copied());
        chart.draw_series(LineSeries::new(steps, line.style)).map_err(text)?;
    }
    Ok(())
}

/// Draws the names of the lines next to the diagram. Names longer than `most` letters lose their beginning.
fn draw_legend<B: DrawingBackend>(area: &DrawingArea<B, Shift>, part: &Part, most: usize) -> Result<(), String> {
    let pixels = |pixels: u32| i32::try_from(pixels).unwrap_or(i32::MAX);
    for (line, index) in part.lines.iter().zip(0..) {
        let y = pixels(LEGEND_MARGINS - 10 + LEGEND_LINE * index);
        let sample = PathElement::new([(0, y), (SAMPLE, y)], line.style);
        area.draw(&sample).map_err(text)?;
        let letters = line.name.chars().count();
        let name = match letters.checked_sub(most) {
            None | Some(0) => line.name.clone(),
            Some(more) => format!("…{}", line.name.chars().skip(more + 1).collect::<String>()),
        };
        let name = Text::new(name, (SAMPLE + GAP, y - 6), ("sans-serif", 13));
        area.draw(&name).map_err(text)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use windlass_core::Timestamp;

    fn point(at: u64) -> Point {
        Point {
            at: Timestamp(1_767_225_600_000 + at),
            load: 50.0,
            needed: 1,
            wanted: 2,
            running: 2,
            ready: 1,
            queue: 0.0,
            saturation: 0.5,
        }
    }

    #[test]
    fn a_chart_has_every_run_as_svg_and_png() {
        let points = [point(0), point(1_800_000)];
        let runs: [Run<'_>; 2] = [("calm", &points), ("eager", &points)];
        let text = svg(&runs).expect("it is drawn");
        for word in ["calm: target", "calm: running", "eager: ready", "saturation", "needed"] {
            assert!(text.contains(word), "{word} is missing");
        }
        for date in ["\n2026-01-01\n", "\n00:15\n", "\n2026-01-01 00:00 to 2026-01-01 00:30 UTC\n"] {
            assert!(text.contains(date), "{date} is missing");
        }
        assert!(text.contains("prefers-color-scheme: dark"), "it is dark on a dark screen");
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("chart.png");
        png(&runs, &file).expect("it is drawn");
        let bytes = std::fs::read(&file).expect("it is there");
        assert!(bytes.starts_with(b"\x89PNG") && bytes.len() > 10_000, "{} bytes", bytes.len());
    }

    /// The leftmost and the rightmost place of each line: of the diagrams with their grids, and of the legends.
    fn places(svg: &str) -> Vec<(i32, i32)> {
        let lines = svg.lines().filter(|line| line.starts_with("<polyline"));
        let points = lines.filter_map(|line| line.split_once("points=\"")?.1.split('"').next());
        let ends = |points: &str| {
            let places = || points.split(' ').filter_map(|point| point.split(',').next()?.parse::<i32>().ok());
            Some((places().min()?, places().max()?))
        };
        points.filter_map(ends).collect()
    }

    #[test]
    fn the_legend_is_beside_the_data_and_the_target_is_above_ready_above_running() {
        let points: Vec<Point> =
            (0..100).map(|index| Point { wanted: index % 7, ..point(u64::from(index) * 15_000) }).collect();
        let runs: [Run<'_>; 2] = [("calm", &points), ("eager", &points)];
        let text = svg(&runs).expect("it is drawn");
        let legend = text.find("calm: target").and_then(|at| text[..at].rfind("<text x=\"")).expect("a legend");
        let name: i32 = text[legend + 9..].split('"').next().and_then(|x| x.parse().ok()).expect("a place");
        // The line next to a name begins at the left edge of the legend.
        let (left, right) = (name - GAP - SAMPLE, name - GAP);
        let (legends, diagrams): (Vec<_>, Vec<_>) = places(&text).into_iter().partition(|ends| *ends == (left, right));
        // The load; target, ready and running of two runs, and the needed count; the saturation of two runs.
        assert_eq!(legends.len(), 1 + 7 + 2, "{legends:?} {diagrams:?}");
        assert!(diagrams.len() >= legends.len() && diagrams.iter().all(|(_, end)| *end < left), "{diagrams:?} {left}");
        // Later elements are drawn above earlier ones; the legend names the most important line first.
        let drawn = |opacity: &str| text.find(&format!("opacity=\"{opacity}\" stroke=\"#0072B2\"")).expect(opacity);
        assert!(drawn("0.25") < drawn("0.5") && drawn("0.5") < drawn("1"));
        let named = |name: &str| text.find(name).expect(name);
        assert!(named("calm: target") < named("calm: ready") && named("calm: ready") < named("calm: running"));
    }

    #[test]
    fn a_chart_of_many_days_is_small_and_shows_the_peak() {
        let noisy = |index: u64| {
            let noise = u32::try_from(index * 7_919 % 13).expect("it fits");
            let load = if index == 77_777 { 9_999.0 } else { f64::from(noise) };
            Point { load, wanted: noise, ready: noise, running: noise, ..point(index * 15_000) }
        };
        let points: Vec<Point> = (0..35 * 24 * 240).map(noisy).collect();
        let runs: [Run<'_>; 1] = [("long", &points)];
        let text = svg(&runs).expect("it is drawn");
        assert!(text.len() < 1_000_000, "{} bytes", text.len());
        let longest = text.lines().map(|line| line.matches(',').count()).max().expect("lines");
        assert!(longest < 10_000, "{longest} points");
        assert!(text.contains("\n10000"), "the axis reaches the peak");
    }
}
