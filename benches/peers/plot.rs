//! The results as SVG: bars where contenders stand side by side, lines where something grows. Text stays text, so no font is needed.

use crate::results::{Results, Series};
use crate::table::grouped;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::error::Error;
use std::path::Path;

const SIZE: (u32, u32) = (800, 400);
const OURS: RGBColor = RGBColor(0x1f, 0x6f, 0xb4);
const OTHERS: RGBColor = RGBColor(0x9a, 0xa5, 0xb1);
const COLOURS: [RGBColor; 9] = [
    RGBColor(0x1f, 0x6f, 0xb4),
    RGBColor(0x5a, 0xb4, 0xe5),
    RGBColor(0x22, 0x22, 0x22),
    RGBColor(0x88, 0x88, 0x88),
    RGBColor(0xd5, 0x5e, 0x00),
    RGBColor(0xe6, 0x9f, 0x00),
    RGBColor(0x00, 0x9e, 0x73),
    RGBColor(0xcc, 0x79, 0xa7),
    RGBColor(0x8a, 0x5a, 0x2b),
];

type Drawn = Result<(), Box<dyn Error>>;

/// A number of a series, and how it is written.
#[derive(Clone, Copy)]
struct Measure {
    name: &'static str,
    of: fn(&Series) -> f64,
    decimals: usize,
}

const RATE: Measure = Measure { name: "messages/s", of: Series::rate, decimals: 0 };
const CPU: Measure = Measure { name: "CPU seconds per 100,000 messages", of: Series::cpu, decimals: 2 };

/// The plots of `compare`, as far as their cases were measured.
pub fn of_compare(results: &Results, folder: &Path) -> Drawn {
    bars(results, "100", RATE, "Rate at prefetch 100", &folder.join("rate-prefetch-100.svg"))?;
    bars(results, "1000", RATE, "Rate at prefetch 1000", &folder.join("rate-prefetch-1000.svg"))?;
    bars(results, "100", CPU, "What it costs at prefetch 100", &folder.join("cpu-prefetch-100.svg"))?;
    lines(results, "prefetch", RATE, "Rate over prefetch", &folder.join("rate-over-prefetch.svg"))
}

/// The plots of `growth`.
pub fn of_growth(results: &Results, folder: &Path) -> Drawn {
    lines(results, "many queues", CPU, "What a message costs over queues", &folder.join("cpu-over-queues.svg"))?;
    lines(results, "backlog", CPU, "What a message costs over messages waiting", &folder.join("cpu-over-backlog.svg"))
}

fn bars(results: &Results, prefetch: &str, measure: Measure, title: &str, file: &Path) -> Drawn {
    let Some(case) = results.case("prefetch", prefetch) else { return Ok(()) };
    let bars: Vec<(&str, f64)> = case
        .contenders
        .iter()
        .filter(|series| !series.runs.is_empty())
        .map(|series| (series.name.as_str(), (measure.of)(series)))
        .collect();
    let Some(most) = bars.iter().map(|bar| bar.1).reduce(f64::max) else { return Ok(()) };
    let area = SVGBackend::new(file, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let top = 48;
    let step = (SIZE.1 as i32 - top - 16) / bars.len() as i32;
    let (left, width) = (230, 470.0);
    entitle(&area, title, measure)?;
    for (place, (name, value)) in bars.iter().enumerate() {
        let (y, length) = (top + step * place as i32, (value / most * width) as i32);
        let colour = if name.starts_with("bootstep") { OURS } else { OTHERS };
        let (middle, height) = (y + step / 2, (step * 7 / 10).min(40));
        let bar = [(left, middle - height / 2), (left + length.max(1), middle + height / 2)];
        area.draw(&Rectangle::new(bar, colour.filled()))?;
        let style = ("sans-serif", 15).into_font().color(&BLACK);
        area.draw(&Text::new(*name, (left - 10, middle), style.pos(Pos::new(HPos::Right, VPos::Center))))?;
        let style = ("sans-serif", 15).into_font().color(&BLACK);
        let number = written(*value, measure.decimals);
        area.draw(&Text::new(number, (left + length + 8, middle), style.pos(Pos::new(HPos::Left, VPos::Center))))?;
    }
    Ok(area.present()?)
}

fn lines(results: &Results, group: &str, measure: Measure, title: &str, file: &Path) -> Drawn {
    let labels: Vec<String> = results.group(group).map(|case| spoken(&case.label)).collect();
    // Not everyone has a part in every case.
    let fullest = results.group(group).map(|case| &case.contenders).max_by_key(|contenders| contenders.len());
    let names: Vec<&str> = fullest.into_iter().flatten().map(|series| series.name.as_str()).collect();
    let values = |name: &str| -> Vec<(f64, f64)> {
        let cases = results.group(group).enumerate();
        cases.filter_map(|(place, case)| Some((place as f64, (measure.of)(case.of(name)?)))).collect()
    };
    let most = names.iter().flat_map(|name| values(name)).map(|point| point.1).fold(0.0, f64::max);
    if labels.len() < 2 || most == 0.0 {
        return Ok(());
    }
    let area = SVGBackend::new(file, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut builder = ChartBuilder::on(&area);
    builder.margin(16).margin_top(56).margin_right(230).x_label_area_size(32).y_label_area_size(64);
    entitle(&area, title, measure)?;
    // The steps are far from even, so each gets the same room.
    let mut chart = builder.build_cartesian_2d(-0.2..labels.len() as f64 - 0.8, 0.0..most * 1.1)?;
    let label = |place: &f64| label_at(*place, &labels);
    let number = |value: &f64| written(*value, measure.decimals);
    let mut mesh = chart.configure_mesh();
    mesh.disable_x_mesh().max_light_lines(0).bold_line_style(RGBColor(0xdd, 0xdd, 0xdd));
    mesh.label_style(("sans-serif", 14))
        .x_labels(labels.len() * 5)
        .x_label_formatter(&label)
        .y_label_formatter(&number)
        .draw()?;
    let mut ends: Vec<End> = Vec::new();
    for (name, colour) in names.iter().zip(COLOURS) {
        let points = values(name);
        chart.draw_series(LineSeries::new(points.clone(), colour.stroke_width(3)))?;
        chart.draw_series(points.iter().map(|point| Circle::new(*point, 4, colour.filled())))?;
        ends.extend(points.last().map(|point| End { at: chart.backend_coord(point), name, colour }));
    }
    name_lines(&area, ends)?;
    Ok(area.present()?)
}

fn entitle(area: &DrawingArea<SVGBackend<'_>, Shift>, title: &str, measure: Measure) -> Drawn {
    let style = ("sans-serif", 19).into_font().color(&BLACK);
    Ok(area.draw(&Text::new(format!("{title} ({})", measure.name), (16, 14), style))?)
}

/// Where a line ends, and whose it is.
struct End<'a> {
    at: (i32, i32),
    name: &'a str,
    colour: RGBColor,
}

// Beside the lines' ends, apart where those meet.
fn name_lines(area: &DrawingArea<SVGBackend<'_>, Shift>, mut ends: Vec<End<'_>>) -> Drawn {
    const APART: i32 = 19;
    ends.sort_by_key(|end| end.at.1);
    // The names below must have room, too.
    let highest = |place: usize| SIZE.1 as i32 - 48 - APART * (ends.len() - place) as i32;
    let mut free = 0;
    for (place, end) in ends.iter().enumerate() {
        let y = end.at.1.min(highest(place)).max(free);
        free = y + APART;
        let style = ("sans-serif", 15).into_font().color(&end.colour);
        area.draw(&Text::new(end.name, (end.at.0 + 14, y), style.pos(Pos::new(HPos::Left, VPos::Center))))?;
    }
    Ok(())
}

// Marks stand between the steps as well; those have no label.
fn label_at(place: f64, labels: &[String]) -> String {
    let is_step = (place - place.round()).abs() < 1e-6;
    if is_step && place > -0.5 {
        labels.get(place.round() as usize).cloned().unwrap_or_default()
    } else {
        String::new()
    }
}

fn written(number: f64, decimals: usize) -> String {
    if decimals == 0 {
        grouped(number)
    } else {
        format!("{number:.decimals$}")
    }
}

// `1000000` is `1,000,000`.
fn spoken(label: &str) -> String {
    label.parse().map_or_else(|_| label.to_owned(), grouped)
}
