//! Changes the callers' file atomically. A lock admits one process at a time. Only the owner may
//! access the file.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use crate::transport::callers::file::CallersFile;

/// Changes the file. A file that does not exist yet is created.
///
/// # Errors
/// Returns a message if the file cannot be read or written, or if the change is refused.
pub(super) fn change(
    path: &Path,
    how: impl FnOnce(&mut CallersFile) -> Result<(), String>,
) -> Result<(), String> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let wrong = |error: io::Error| format!("{}: {error}", path.display());
    std::fs::create_dir_all(folder).map_err(wrong)?;
    // The lock is on the folder, because the file itself is replaced. It ends with the descriptor.
    let folder = File::open(folder).map_err(wrong)?;
    folder.lock().map_err(wrong)?;
    let mut file = if path.try_exists().map_err(wrong)? {
        CallersFile::read(path).map_err(|error| error.to_string())?
    } else {
        CallersFile::default()
    };
    how(&mut file)?;
    file.check().map_err(|error| error.to_string())?;
    write(path, &file.to_text()).and_then(|()| folder.sync_all()).map_err(wrong)
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let draft = path.with_extension(format!("{}.new", std::process::id()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    let replaced = written.and_then(|()| std::fs::rename(&draft, path));
    if replaced.is_err() {
        // If the draft cannot be removed either, nothing more can be done.
        let _ = std::fs::remove_file(&draft);
    }
    replaced
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::callers::file::CallerEntry;
    use std::os::unix::fs::PermissionsExt as _;

    fn entry(name: &str) -> CallerEntry {
        CallerEntry {
            name: name.into(),
            roles: vec!["issuer".into()],
            keys_sha256: Vec::new(),
            sans: vec![format!("{name}.internal")],
        }
    }

    #[test]
    fn changes_add_up_and_broken_ones_leave_the_file_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/callers.json");
        std::thread::scope(|scope| {
            for n in 0..8 {
                let path = &path;
                scope.spawn(move || {
                    change(path, |file| {
                        file.callers.push(entry(&format!("caller-{n}")));
                        Ok(())
                    })
                    .unwrap();
                });
            }
        });
        let before = CallersFile::read(&path).unwrap();
        assert_eq!(before.callers.len(), 8, "no change overwrote another");
        let twice = change(&path, |file| {
            file.callers.push(entry("caller-3"));
            Ok(())
        });
        assert!(twice.unwrap_err().contains("caller-3"));
        assert_eq!(CallersFile::read(&path).unwrap(), before);
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }
}
