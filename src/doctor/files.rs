//! Checks of files that hold secrets.

use super::{Finding, Installation};

/// Checks that only owner and group can read the database, the generated secret and the TLS key.
pub(super) fn private(installation: &Installation<'_>) -> Vec<Finding> {
    let modes = &installation.files.modes;
    let open = modes.iter().filter(|(_, mode)| mode & 0o007 != 0);
    let mut findings: Vec<Finding> = open
        .map(|(path, mode)| {
            let path = path.display();
            let message = format!(
                "{path} has mode {mode:03o}: every user of this machine can access it; run `chmod \
                 o-rwx {path}`"
            );
            Finding::error("files.private", message)
        })
        .collect();
    if findings.is_empty() && !modes.is_empty() {
        findings.push(Finding::ok(
            "files.private",
            "other users cannot access files that hold secrets",
        ));
    }
    findings
}
