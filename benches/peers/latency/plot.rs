//! The percentiles of one rate as curves: the further right, the rarer.

use super::samples::{Percentiles, SHOWN};
use plotters::prelude::*;
use std::path::Path;

const SIZE: (u32, u32) = (800, 480);

/// That people with any kind of sight tell apart.
const COLORS: [RGBColor; 4] = [RGBColor(213, 94, 0), RGBColor(230, 159, 0), RGBColor(86, 180, 233), RGBColor(0, 0, 0)];

/// Draws a curve for each contender: from publish to ack, in milliseconds, by percentile.
pub fn draw(path: &Path, curves: &[(String, Percentiles)]) {
    let image = SVGBackend::new(path, SIZE).into_drawing_area();
    drawn(&image, curves).expect("the suite's folder can be written");
}

fn drawn<'a>(
    image: &DrawingArea<SVGBackend<'a>, plotters::coord::Shift>,
    curves: &[(String, Percentiles)],
) -> Result<(), Box<dyn std::error::Error + 'a>> {
    image.fill(&WHITE)?;
    let all = || curves.iter().flat_map(|(_, percentiles)| percentiles.0.iter().copied()).filter(|it| *it > 0.0);
    let (least, most) = (all().fold(f64::INFINITY, f64::min), all().fold(0.0, f64::max));
    let last = SHOWN.len() - 1;
    let mut chart = ChartBuilder::on(image)
        .caption("Publish to ack at half of the top rate", ("sans-serif", 20))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(60)
        .build_cartesian_2d(-0.2..last as f64 + 0.2, (least * 0.8..most * 1.25).log_scale())?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .x_labels(SHOWN.len())
        .x_label_formatter(&|place| label(*place))
        .y_label_formatter(&|ms| format!("{ms}"))
        .x_desc("percentile")
        .y_desc("ms")
        .draw()?;
    for (number, (name, percentiles)) in curves.iter().enumerate() {
        let color = COLORS[number % COLORS.len()];
        let points = percentiles.0.iter().enumerate().map(|(place, ms)| (place as f64, *ms));
        let line = LineSeries::new(points, color.stroke_width(2)).point_size(3);
        chart
            .draw_series(line)?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], color.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .background_style(WHITE.mix(0.9))
        .border_style(BLACK.mix(0.3))
        .draw()?;
    image.present()?;
    Ok(())
}

fn label(place: f64) -> String {
    let is_on_one = (place - place.round()).abs() < 1e-6;
    let percentile = SHOWN.get(place.round() as usize).filter(|_| is_on_one && place > -0.1);
    percentile.map_or(String::new(), |percentile| format!("p{percentile}"))
}
