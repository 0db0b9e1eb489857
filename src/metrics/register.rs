//! Helpers that create a metric and register it in one step, and that mirror counters kept elsewhere.

use std::sync::atomic::{AtomicU64, Ordering};

use prometheus::core::Collector;
use prometheus::{
    Counter, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec,
    IntGauge, IntGaugeVec, Opts, Registry, Result,
};

fn register<M: Collector + Clone + 'static>(registry: &Registry, metric: Result<M>) -> Result<M> {
    let metric = metric?;
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

pub(super) fn counter(registry: &Registry, (name, help): (&str, &str)) -> Result<IntCounter> {
    register(registry, IntCounter::new(name, help))
}

pub(super) fn fraction_counter(registry: &Registry, (name, help): (&str, &str)) -> Result<Counter> {
    register(registry, Counter::new(name, help))
}

/// Registers counters with one label. Each known value of the label starts at zero.
pub(super) fn counters(
    registry: &Registry,
    (name, help): (&str, &str),
    label: &str,
    known: &[&str],
) -> Result<IntCounterVec> {
    let metric = register(registry, IntCounterVec::new(Opts::new(name, help), &[label]))?;
    for value in known {
        metric.with_label_values(&[value]);
    }
    Ok(metric)
}

pub(super) fn gauge(registry: &Registry, (name, help): (&str, &str)) -> Result<Gauge> {
    register(registry, Gauge::new(name, help))
}

pub(super) fn whole_gauge(registry: &Registry, (name, help): (&str, &str)) -> Result<IntGauge> {
    register(registry, IntGauge::new(name, help))
}

pub(super) fn gauges(
    registry: &Registry,
    (name, help): (&str, &str),
    label: &str,
) -> Result<GaugeVec> {
    register(registry, GaugeVec::new(Opts::new(name, help), &[label]))
}

pub(super) fn whole_gauges(
    registry: &Registry,
    (name, help): (&str, &str),
    label: &str,
) -> Result<IntGaugeVec> {
    register(registry, IntGaugeVec::new(Opts::new(name, help), &[label]))
}

pub(super) fn histogram(
    registry: &Registry,
    (name, help): (&str, &str),
    buckets: &[f64],
) -> Result<Histogram> {
    let about = HistogramOpts::new(name, help).buckets(buckets.to_vec());
    register(registry, Histogram::with_opts(about))
}

pub(super) fn histograms(
    registry: &Registry,
    (name, help): (&str, &str),
    labels: &[&str],
    buckets: &[f64],
) -> Result<HistogramVec> {
    let about = HistogramOpts::new(name, help).buckets(buckets.to_vec());
    register(registry, HistogramVec::new(about, labels))
}

/// Returns how much a counter that is kept elsewhere has grown since the last call.
pub(super) fn since(seen: &AtomicU64, now: u64) -> u64 {
    now.saturating_sub(seen.fetch_max(now, Ordering::Relaxed))
}
