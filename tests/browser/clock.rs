//! The service's clock, set forward while it runs: nobody waits for half an hour.

use std::path::PathBuf;
use std::time::Duration;

use test_support::replica::Setup;

/// The clock of the services of one setup.
#[derive(Debug)]
pub(crate) struct Clock {
    file: PathBuf,
    ahead: Duration,
}

impl Clock {
    /// A setup whose services go by this clock. Only what tells the time of day is set forward:
    /// what measures how long something takes is not.
    ///
    /// # Panics
    /// Where libfaketime is not installed.
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

    /// Sets it forward.
    pub(crate) fn forward(&mut self, by: Duration) {
        self.ahead += by;
        self.write();
    }

    fn write(&self) {
        // Never half a file for the service to read.
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
