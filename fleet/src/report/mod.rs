//! The results: a table for readers, JSON for programs, and a picture.

mod json;
mod picture;
mod table;

use std::fs;
use std::io;
use std::path::Path;

use crate::run::Outcome;
use crate::settings::Settings;

pub(crate) use table::table;

/// Prints the table, and writes it with the JSON and the picture into a folder.
///
/// # Errors
/// Returns the operating system's error if a file cannot be written.
#[expect(clippy::print_stdout, reason = "the table is what the command is for")]
pub(crate) fn write(folder: &Path, settings: &Settings, outcomes: &[Outcome]) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let text = table(settings, outcomes);
    println!("{text}");
    fs::write(folder.join("fleet.md"), &text)?;
    fs::write(folder.join("fleet.json"), json::json(settings, outcomes))?;
    fs::write(folder.join("fleet.svg"), picture::picture(settings, outcomes))
}
