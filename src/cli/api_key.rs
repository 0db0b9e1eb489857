//! Reads the API key with which a subcommand calls the service: from a file, or from the environment.

use std::path::PathBuf;

use clap::{Arg, ArgMatches, value_parser};

use crate::transport::callers::api_key::ApiKey;

/// The variable with the API key, as in the clients.
const API_KEY: &str = "TOKEN_AUTHORITY_API_KEY";
const FILE: &str = "api-key-file";

/// Returns the argument that names the file.
pub(super) fn argument() -> Arg {
    Arg::new(FILE)
        .long(FILE)
        .value_name("FILE")
        .value_parser(value_parser!(PathBuf))
        .help(format!("The file with the API key of a caller; or set {API_KEY}"))
}

/// Reads the key. Without a file and a variable, there is none.
///
/// # Errors
/// Returns a sentence if the file cannot be read, or if the key cannot be sent.
pub(super) fn read(matches: &ArgMatches) -> Result<ApiKey, String> {
    let text = match matches.get_one::<PathBuf>(FILE) {
        Some(path) => {
            let text = std::fs::read_to_string(path);
            Some(text.map_err(|error| format!("--{FILE}: {}: {error}", path.display()))?)
        }
        None => std::env::var(API_KEY).ok().filter(|text| !text.is_empty()),
    };
    text.map_or(Ok(ApiKey::default()), |text| ApiKey::new(&text)).map_err(|error| error.to_string())
}
