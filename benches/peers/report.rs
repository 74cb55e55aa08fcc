//! Tables, plots and promises from what was measured, now or earlier.

use crate::latency;
use crate::options::Options;
use crate::plot;
use crate::promise::{self, Promise};
use crate::results::Results;
use crate::table;

/// This writes all that the raw numbers in the folder tell, and says which promises do not hold.
pub fn write(options: &Options) {
    let folder = &options.folder;
    let mut promises: Vec<Promise> = Vec::new();
    if let Some(results) = Results::read(folder, "compare") {
        put(options, "compare.md", &table::document(&results));
        plot::of_compare(&results, folder).expect("plots can be drawn");
        promises.extend(promise::of_compare(&results));
    }
    if let Some(results) = Results::read(folder, "growth") {
        put(options, "growth.md", &table::document(&results));
        plot::of_growth(&results, folder).expect("plots can be drawn");
        promises.extend(promise::of_growth(&results));
    }
    if let Some(report) = latency::Report::read(folder) {
        put(options, "latency.md", &report.markdown());
        report.draw(folder);
        promises.extend(report.promises());
    }
    put(options, "promises.md", &promise::table(&promises));
    println!("\nTables, plots and raw numbers: {}", folder.display());
    let broken: Vec<&Promise> = promises.iter().filter(|promise| promise.is_held() == Some(false)).collect();
    println!("{} promises, {} do not hold:", promises.len(), broken.len());
    broken.iter().for_each(|promise| println!("  {} (measured {:.2})", promise.what, promise.measured.unwrap_or_default()));
}

fn put(options: &Options, name: &str, text: &str) {
    std::fs::write(options.folder.join(name), text).expect("the folder of the results can be written");
}
