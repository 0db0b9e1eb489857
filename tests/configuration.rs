//! Keeps `docs/configuration.md` equal to the table of settings that it is made from.
//!
//! `UPDATE_DOCS=1 cargo test --workspace --test configuration` writes it anew.

#![expect(clippy::unwrap_used, reason = "a test may fail by a panic")]

use std::fmt::Write as _;
use std::path::Path;

use token_authority::config::settings::SETTINGS;

const HEAD: &str = "\
<!-- Made from src/config/settings.rs: change that, then UPDATE_DOCS=1 cargo test --workspace --test configuration -->
# Settings

Each is a variable of the environment and a flag (`JWT_ISSUER`, `--jwt-issuer`); a flag wins. An empty text counts as
not given. Each secret may also be given as a file, `NAME_FILE`, whose last line breaks are dropped; both at once are
refused. All problems are told at once, before any port opens, with exit code 64. `token-authority doctor` says what is
set and what may be wrong with it.

| name | default | meaning |
|---|---|---|
";

fn reference() -> String {
    let mut text = HEAD.to_owned();
    for setting in SETTINGS {
        let default = setting.default.map_or_else(String::new, |default| format!("`{default}`"));
        let secret = if setting.secret { " A secret." } else { "" };
        let meaning = setting.help.replace('|', "\\|");
        writeln!(text, "| `{}` | {default} | {meaning}{secret} |", setting.name).unwrap();
    }
    text
}

#[test]
fn the_reference_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, reference()).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == reference(),
        "docs/configuration.md is out of date: UPDATE_DOCS=1 cargo test --workspace --test configuration"
    );
}
