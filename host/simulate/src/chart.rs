//! Draws runs over one trace as SVG or PNG, with load, replicas and saturation below each other.

use crate::Point;
use plotters::coord::Shift;
use plotters::prelude::*;
use std::fmt::Display;
use std::path::Path;
use std::sync::Once;

/// Width and height in pixels.
const SIZE: (u32, u32) = (1_200, 900);

/// One colour per run, distinguishable with any colour vision (Okabe and Ito, 2008).
const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
];

/// The name and the points of a run.
pub type Run<'a> = (&'a str, &'a [Point]);

/// The chart as SVG.
///
/// # Errors
/// If drawing fails.
pub fn svg(runs: &[Run<'_>]) -> Result<String, String> {
    let mut text = String::new();
    let area = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
    draw(&area, runs)?;
    drop(area);
    Ok(text)
}

/// Writes the chart as a PNG file.
///
/// # Errors
/// If drawing or writing fails.
pub fn png(runs: &[Run<'_>], path: &Path) -> Result<(), String> {
    draw(&BitMapBackend::new(path, SIZE).into_drawing_area(), runs)
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

fn draw<B: DrawingBackend>(area: &DrawingArea<B, Shift>, runs: &[Run<'_>]) -> Result<(), String> {
    register_font();
    area.fill(&WHITE).map_err(text)?;
    let panels = area.split_evenly((3, 1));
    let first: &[Point] = runs.first().map_or(&[], |(_, points)| points);
    let load = vec![("load".to_owned(), BLACK, series(first, |point| point.load))];
    panel(&panels[0], "load (per second)", &load)?;
    let mut replicas =
        vec![("needed".to_owned(), RGBColor(150, 150, 150), series(first, |point| f64::from(point.needed)))];
    let mut saturation = Vec::new();
    for ((name, points), colour) in runs.iter().zip(COLOURS.iter().cycle()) {
        replicas.push((format!("{name}: target"), *colour, series(points, |point| f64::from(point.wanted))));
        let running = series(points, |point| f64::from(point.running));
        replicas.push((format!("{name}: running"), lighter(*colour), running));
        let ready = series(points, |point| f64::from(point.ready));
        replicas.push((format!("{name}: ready"), lighter(lighter(*colour)), ready));
        saturation.push(((*name).to_owned(), *colour, series(points, |point| point.saturation)));
    }
    panel(&panels[1], "replicas", &replicas)?;
    panel(&panels[2], "saturation (share of the capacity in use)", &saturation)?;
    area.present().map_err(text)
}

fn text(error: impl Display) -> String {
    error.to_string()
}

fn lighter(RGBColor(red, green, blue): RGBColor) -> RGBColor {
    let half = |part: u8| part / 2 + 128;
    RGBColor(half(red), half(green), half(blue))
}

/// Hours since the start, and the value.
fn series(points: &[Point], value: impl Fn(&Point) -> f64) -> Vec<(f64, f64)> {
    let begin = points.first().map(|point| point.at).unwrap_or_default();
    points.iter().map(|point| (point.at.since(begin).as_secs_f64() / 3_600.0, value(point))).collect()
}

type Line = (String, RGBColor, Vec<(f64, f64)>);

fn panel<B: DrawingBackend>(area: &DrawingArea<B, Shift>, title: &str, lines: &[Line]) -> Result<(), String> {
    let all = || lines.iter().flat_map(|(_, _, points)| points);
    let (end, top) = all().fold((0.0_f64, 0.0_f64), |(end, top), (x, y)| (end.max(*x), top.max(*y)));
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 20))
        .margin(10)
        .x_label_area_size(30)
        .y_label_area_size(60)
        .build_cartesian_2d(0.0..end.max(1e-3), 0.0..(top * 1.1).max(1e-3))
        .map_err(text)?;
    chart
        .configure_mesh()
        .x_desc("hours")
        .label_style(("sans-serif", 13))
        .light_line_style(WHITE)
        .draw()
        .map_err(text)?;
    for (name, colour, points) in lines {
        // A count holds until the next change, so it is drawn as steps.
        let steps = points.windows(2).flat_map(|pair| [pair[0], (pair[1].0, pair[0].1)]).chain(points.last().copied());
        let line = chart.draw_series(LineSeries::new(steps, colour)).map_err(text)?;
        let colour = *colour;
        line.label(name.as_str()).legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour));
    }
    chart
        .configure_series_labels()
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .label_font(("sans-serif", 13))
        .position(SeriesLabelPosition::UpperLeft)
        .draw()
        .map_err(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use windlass_core::Timestamp;

    #[test]
    fn a_chart_has_every_run_as_svg_and_png() {
        let point = |at: u64| Point {
            at: Timestamp(at),
            load: 50.0,
            needed: 1,
            wanted: 2,
            running: 2,
            ready: 1,
            queue: 0.0,
            saturation: 0.5,
        };
        let points = [point(0), point(1_800_000)];
        let runs: [Run<'_>; 2] = [("calm", &points), ("eager", &points)];
        let text = svg(&runs).expect("it is drawn");
        for word in ["calm: target", "calm: running", "eager: ready", "saturation", "needed", "hours"] {
            assert!(text.contains(word), "{word} is missing");
        }
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("chart.png");
        png(&runs, &file).expect("it is drawn");
        let bytes = std::fs::read(&file).expect("it is there");
        assert!(bytes.starts_with(b"\x89PNG") && bytes.len() > 10_000, "{} bytes", bytes.len());
    }
}
