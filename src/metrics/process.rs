//! Metrics of the process: its version, its use of memory and CPU, and the log lines it dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus::process_collector::ProcessCollector;
use prometheus::{IntCounter, IntGaugeVec, Opts, Registry, Result};

use super::register::{counter, since};

/// The sources of these metrics.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// Counts dropped log lines.
    pub dropped_log_lines: Arc<AtomicU64>,
    /// Counts failed exports of traces.
    pub failed_trace_exports: Arc<AtomicU64>,
    /// Identifies the installation. Empty: it has no secret.
    pub installation: String,
}

/// Metrics of the process.
#[derive(Debug)]
pub(super) struct ProcessMetrics {
    sources: Sources,
    dropped: (IntCounter, AtomicU64),
    failed_exports: (IntCounter, AtomicU64),
}

impl ProcessMetrics {
    pub(super) fn register(registry: &Registry, sources: Sources) -> Result<Self> {
        registry.register(Box::new(ProcessCollector::for_self()))?;
        let about = Opts::new(
            "token_authority_build_info",
            "The running version, as a label; the value is always 1.",
        );
        let build = IntGaugeVec::new(about, &["version"])?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        registry.register(Box::new(build))?;
        let dropped = counter(
            registry,
            (
                "log_lines_dropped_total",
                "Log lines that were dropped because standard error was not read fast enough.",
            ),
        )?;
        let about = Opts::new(
            "token_authority_installation_info",
            "Identifies the installation by its secrets, as a label; the value is always 1.",
        );
        let installation = IntGaugeVec::new(about, &["id"])?;
        installation.with_label_values(&[sources.installation.as_str()]).set(1);
        registry.register(Box::new(installation))?;
        let failed_exports = counter(
            registry,
            (
                "trace_export_failures_total",
                "Exports of traces that failed; the spans of each are lost.",
            ),
        )?;
        let (dropped, failed_exports) =
            ((dropped, AtomicU64::new(0)), (failed_exports, AtomicU64::new(0)));
        Ok(Self { sources, dropped, failed_exports })
    }

    /// Updates the metrics before a scrape.
    pub(super) fn update(&self) {
        let Sources { dropped_log_lines, failed_trace_exports, .. } = &self.sources;
        for ((counter, seen), source) in
            [(&self.dropped, dropped_log_lines), (&self.failed_exports, failed_trace_exports)]
        {
            counter.inc_by(since(seen, source.load(Ordering::Relaxed)));
        }
    }
}
