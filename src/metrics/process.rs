//! The process itself: which version it is, what it takes of its machine, and which lines of its
//! log were lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus::process_collector::ProcessCollector;
use prometheus::{IntCounter, IntGaugeVec, Opts, Registry, Result};

use super::register::{counter, since};

/// Knows the process.
#[derive(Debug)]
pub(super) struct ProcessMetrics {
    lost_lines: Arc<AtomicU64>,
    dropped: (IntCounter, AtomicU64),
}

impl ProcessMetrics {
    pub(super) fn register(registry: &Registry, lost_lines: Arc<AtomicU64>) -> Result<Self> {
        registry.register(Box::new(ProcessCollector::for_self()))?;
        let about = Opts::new("token_authority_build_info", "The version that runs; always 1.");
        let build = IntGaugeVec::new(about, &["version"])?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        registry.register(Box::new(build))?;
        let dropped = counter(
            registry,
            (
                "log_lines_dropped_total",
                "Lines of the log that were lost because nobody read it fast enough.",
            ),
        )?;
        Ok(Self { lost_lines, dropped: (dropped, AtomicU64::new(0)) })
    }

    /// Looks.
    pub(super) fn look(&self) {
        let lost = self.lost_lines.load(Ordering::Relaxed);
        self.dropped.0.inc_by(since(&self.dropped.1, lost));
    }
}
