//! `completions` and `man`: what a shell and a reader want to know of the command line, from its one definition.

use super::failure::{Done, Failure};
use super::session::Session;
use clap_complete::Shell;
use std::io::Write;
use std::path::PathBuf;

/// Prints completions for a shell
#[derive(clap::Args)]
#[command(after_help = "For bash:  bootstep completions bash > ~/.local/share/bash-completion/completions/bootstep")]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub fn run(self, session: &Session, out: &mut dyn Write) -> Done {
        let mut definition = session.definition();
        let name = definition.get_name().to_owned();
        let mut text = Vec::new();
        // It panics where it cannot write, so it writes to memory.
        clap_complete::generate(self.shell, &mut definition, name, &mut text);
        Ok(out.write_all(&text)?)
    }
}

/// Writes the man pages into a folder, one for each subcommand
#[derive(clap::Args)]
#[command(after_help = "Example:  bootstep man /usr/local/share/man/man1 && man bootstep")]
pub(crate) struct Man {
    /// The folder; it must exist
    folder: PathBuf,
}

impl Man {
    pub fn run(self, session: &Session, out: &mut dyn Write) -> Done {
        let pages = clap_mangen::generate_to(session.definition(), &self.folder);
        pages.map_err(|err| {
            let folder = self.folder.display();
            Failure::usage(format!("the man pages could not be written to `{folder}`: {err}; name a folder that exists"))
        })?;
        Ok(writeln!(out, "the man pages are in {}", self.folder.display())?)
    }
}
