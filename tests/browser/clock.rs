//! The service's clock. It is set forward while the service runs, so that no test waits for half an
//! hour.

use std::path::PathBuf;
use std::time::Duration;

use test_support::replica::Setup;

/// The clock of the services of one setup.
#[derive(Debug, Clone)]
pub(crate) struct Clock {
    file: PathBuf,
    ahead: Duration,
}

impl Clock {
    /// Creates a setup whose services use this clock. Only the time of day is set forward. Clocks
    /// that measure durations are not.
    ///
    /// # Panics
    ///
    /// Panics if libfaketime is not installed.
    pub(crate) fn of(setup: Setup) -> (Setup, Self) {
        let clock = Self { file: setup.folder().join("clock"), ahead: Duration::ZERO };
        clock.write();
        let setup = setup
            .set("LD_PRELOAD", library().to_str().unwrap())
            .set("FAKETIME_TIMESTAMP_FILE", clock.file.to_str().unwrap())
            .set("FAKETIME_NO_CACHE", "1")
            .set("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        (setup, clock)
    }

    /// Sets the clock forward.
    pub(crate) fn forward(&mut self, by: Duration) {
        self.ahead += by;
        self.write();
    }

    fn write(&self) {
        // Rename it into place, so that the service never reads half a file.
        let new = self.file.with_extension("new");
        std::fs::write(&new, format!("+{}s\n", self.ahead.as_secs())).unwrap();
        std::fs::rename(&new, &self.file).unwrap();
    }
}

fn library() -> PathBuf {
    let folders = std::fs::read_dir("/usr/lib").unwrap().flatten();
    let mut found = folders.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"));
    found.find(|path| path.exists()).expect("libfaketime is missing: run scripts/tools")
}
