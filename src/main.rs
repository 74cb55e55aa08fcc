//! The stock binary: consumers come from a configuration file, and their handlers are programs.

fn main() -> std::process::ExitCode {
    bootstep::cli::stock()
}
