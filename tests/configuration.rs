//! Checks that `docs/configuration.md` is generated from the current table of settings.
//!
//! `UPDATE_DOCS=1 cargo test --workspace --test configuration` writes the file.

#![expect(clippy::unwrap_used, reason = "a test may fail by a panic")]

use std::fmt::Write as _;
use std::path::Path;

use token_authority::config::settings::SETTINGS;

const HEAD: &str = "\
<!-- Made from src/config/settings/: change that, then UPDATE_DOCS=1 cargo test --workspace --test configuration -->
# Settings

Each setting is an environment variable and a flag (`JWT_ISSUER`, `--jwt-issuer`). A flag takes precedence. An empty
value counts as not set. The service reports all problems at once, before it opens a port, and exits with code 64.
`token-authority doctor` lists the settings and finds likely mistakes.

## Secrets

A secret is exactly the bytes of its variable, or the bytes of its file (`NAME_FILE`) without the line breaks (`\\n`, `\\r\\n`)
at the end. Nothing else is removed: no blanks, no quotes, no byte order mark, and base64 or hex digits are not decoded. A
backend that verifies locally must use the same bytes, for example `JWT_SECRET.encode()` in Python.

The service refuses a secret that

* is given both as a variable and as a file;
* has a byte order mark, a blank or a line break at either end, quotes around it, or control or invisible characters;
* is a path, a URL or a reference that nothing has resolved, such as `${JWT_SECRET}`, `{{ … }}`, `<path:…>`, `vault:…`,
  `op://…`, `arn:…` or `ENC[…]`;
* has fewer than 32 bytes;
* in production, is a placeholder or was typed rather than drawn (less than 96 bits of randomness by estimation).

`openssl rand -base64 48` creates a good secret. `BETTER_AUTH_SECRET` is the auth-server's, so blanks, quotes and weakness are
only reported, at the start and by the doctor. In a URL with a password, such as `DATABASE_URL`, special characters of the
password must be percent-encoded.

## All settings

| name | default | meaning |
|---|---|---|
";

fn reference() -> String {
    let mut text = HEAD.to_owned();
    for setting in SETTINGS.iter() {
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

/// The pages of a folder, below the repository's root.
fn pages(folder: &Path, found: &mut Vec<String>) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for entry in std::fs::read_dir(root.join(folder)).unwrap() {
        let path = folder.join(entry.unwrap().file_name());
        let is_decision = path.starts_with("docs/adr");
        if root.join(&path).is_dir() {
            pages(&path, found);
        } else if !is_decision && path.extension().is_some_and(|extension| extension == "md") {
            found.push(path.display().to_string());
        }
    }
}

/// Returns the anchor of a heading, as GitHub makes it.
fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
    text.chars().filter(|c| c.is_alphanumeric() || *c == '-').collect()
}

#[test]
fn the_readme_leads_to_every_page() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    let mut found = vec!["docs/adr".to_owned(), "helm/token-authority/README.md".to_owned()];
    pages(Path::new("docs"), &mut found);
    let missing: Vec<_> =
        found.iter().filter(|page| !readme.contains(&format!("]({page})"))).collect();
    assert!(missing.is_empty(), "README.md does not lead to {missing:?}");
    // And nothing that it leads to is missing.
    for link in readme.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
        if link.contains("://") {
            continue;
        }
        let (file, heading) = link.split_once('#').unwrap_or((link, ""));
        let page = root.join(if file.is_empty() { "README.md" } else { file });
        assert!(page.exists(), "README.md leads to {link}");
        let has_heading = || {
            let text = std::fs::read_to_string(&page).unwrap();
            let mut headings = text.lines().filter(|line| line.starts_with('#'));
            headings.any(|line| anchor(line) == heading)
        };
        assert!(heading.is_empty() || has_heading(), "README.md leads to {link}");
    }
}
