//! Plots as SVG: bars in groups, one group a cell, one bar a system, with a line from the least to the greatest.

use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::figures::short;
use crate::report::order::systems;
use crate::results::{Cell, Results};

/// The groups that have a plot: the file, the metric, the title.
const PLOTS: [(&str, &str, &str, &str); 6] = [
    ("library", "library.svg", "ops/s", "Libraries: operations a second, one thread, three shards"),
    (
        "library, values",
        "library-values.svg",
        "CPU µs/op",
        "Libraries: processor µs of an operation, by size of values",
    ),
    ("proxy", "proxy.svg", "ops/s", "Proxies: operations a second, three shards"),
    ("proxy, values", "proxy-values.svg", "ops/s", "Proxies: operations a second, by size of values"),
    (
        "proxy, open loop",
        "proxy-open.svg",
        "p99.9 ms",
        "Proxies, open loop: 99.9 % of the operations end within ms",
    ),
    ("placement", "placement.svg", "ns/key", "Placement: nanoseconds a key"),
];

/// The file of a group's plot.
pub(super) fn file_of(group: &str) -> Option<&'static str> {
    PLOTS.iter().find(|(of, ..)| *of == group).map(|(_, file, ..)| *file)
}

/// Draws all plots into a directory.
pub(super) fn all(results: &Results, directory: &Path) -> Result<(), String> {
    for (group, file, metric, title) in PLOTS {
        let cells: Vec<&Cell> = results.cells.iter().filter(|cell| cell.group == group).collect();
        if !cells.is_empty() {
            bars(&directory.join(file), title, metric, &cells).map_err(|error| error.to_string())?;
        }
    }
    Ok(())
}

const WIDTH: u32 = 900;
const BAR: i32 = 13;
const LEFT: i32 = 190;
const TOP: i32 = 44;

/// One length for each cell's greatest bar: cells differ by orders of magnitude, and are not compared with each other.
fn bars(file: &Path, title: &str, metric: &str, cells: &[&Cell]) -> Result<(), Box<dyn std::error::Error>> {
    let rows =
        |cell: &Cell| systems(&[cell]).iter().filter(|system| !cell.get(system, metric).is_empty()).count();
    let height = TOP + cells.iter().map(|cell| (rows(cell) as i32 + 2) * BAR + BAR).sum::<i32>();
    let area = SVGBackend::new(file, (WIDTH, height as u32)).into_drawing_area();
    area.fill(&WHITE)?;
    let text = |size: i32| ("sans-serif", size).into_font().color(&BLACK);
    area.draw(&Text::new(title.to_owned(), (12, 12), text(16)))?;
    let mut top = TOP;
    for cell in cells {
        area.draw(&Text::new(cell.name.clone(), (12, top), text(13)))?;
        top += BAR + 5;
        top = group(&area, cell, metric, top)? + BAR;
    }
    area.present()?;
    Ok(())
}

fn group(
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    cell: &Cell,
    metric: &str,
    mut top: i32,
) -> Result<i32, Box<dyn std::error::Error>> {
    let all: Vec<_> =
        systems(&[cell]).into_iter().map(|system| (system, cell.figures(system, metric))).collect();
    let longest = all.iter().map(|(_, figures)| figures.spread().1).fold(f64::MIN_POSITIVE, f64::max);
    let at = |figure: f64| LEFT + (figure / longest * f64::from(WIDTH as i32 - LEFT - 90)) as i32;
    let right = ("sans-serif", 11).into_font().color(&BLACK).pos(Pos::new(HPos::Right, VPos::Top));
    let left = ("sans-serif", 11).into_font().color(&BLACK);
    for (system, figures) in all.iter().filter(|(_, figures)| !figures.is_empty()) {
        let colour =
            if system.starts_with("rendis") { RGBColor(196, 78, 82) } else { RGBColor(140, 158, 181) };
        let (least, greatest) = figures.spread();
        let bar = [(LEFT, top), (at(figures.median()), top + BAR - 3)];
        area.draw(&Text::new((*system).to_owned(), (LEFT - 8, top), right.clone()))?;
        area.draw(&Rectangle::new(bar, colour.filled()))?;
        let middle = top + (BAR - 3) / 2;
        area.draw(&PathElement::new(
            vec![(at(least), middle), (at(greatest), middle)],
            BLACK.stroke_width(1),
        ))?;
        area.draw(&Text::new(short(figures.median()), (at(greatest) + 6, top), left.clone()))?;
        top += BAR;
    }
    Ok(top)
}
