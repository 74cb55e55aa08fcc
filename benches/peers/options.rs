//! How much is measured and where the results go, as the environment says.

use crate::foreign::target_folder;
use std::path::{Path, PathBuf};

pub struct Options {
    /// How often each contender is measured in each case (`BENCH_ROUNDS`, 5).
    pub rounds: usize,
    /// Which part of its messages each case gets (`BENCH_SCALE`, 1).
    pub scale: f64,
    /// The cases that are wanted (`BENCH_ONLY`, all).
    only: Vec<String>,
    /// Where tables, plots and raw numbers go (`BENCH_OUT`, `target/peers`).
    pub folder: PathBuf,
}

impl Options {
    pub fn from_env() -> Options {
        let text = |name: &str| std::env::var(name).ok();
        let number = |name: &str| Some(text(name)?.parse::<f64>().unwrap_or_else(|_| panic!("`{name}` is no number")));
        let only = text("BENCH_ONLY").unwrap_or_default();
        // cargo starts a bench in its package's folder; whoever types the command stands in the repository's.
        let folder = text("BENCH_OUT").map(|folder| Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(folder));
        let folder = folder.unwrap_or_else(target_folder);
        std::fs::create_dir_all(&folder).expect("the folder of the results can be written");
        Options {
            rounds: number("BENCH_ROUNDS").map_or(5, |rounds| rounds.max(1.0) as usize),
            scale: number("BENCH_SCALE").unwrap_or(1.0),
            only: only.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect(),
            folder,
        }
    }

    pub fn wants(&self, case: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| name == case)
    }
}
