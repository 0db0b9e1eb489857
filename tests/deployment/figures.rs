//! The quickstart's two figures, from the metrics of all replicas.

use test_support::replica::{Replica, value};

const METHODS: [&str; 2] = ["jwt", "session"];

/// The counters of all replicas together.
#[derive(Debug, Clone)]
pub(crate) struct Figures {
    pages: Vec<String>,
}

/// The differences between two moments.
#[derive(Debug)]
pub(crate) struct Window {
    from: Figures,
    to: Figures,
}

impl Figures {
    /// Scrapes all replicas.
    pub(crate) fn of(replicas: &[Replica]) -> Self {
        Self { pages: replicas.iter().map(Replica::metrics).collect() }
    }

    /// Returns the sum of a series over the replicas.
    pub(crate) fn sum(&self, series: &str) -> f64 {
        self.pages.iter().map(|page| value(page, series)).sum()
    }

    /// Returns the value of a series on every replica.
    pub(crate) fn each(&self, series: &str) -> Vec<f64> {
        self.pages.iter().map(|page| value(page, series)).collect()
    }

    /// Returns the series of a metric over all replicas.
    pub(crate) fn series(&self, metric: &str) -> Vec<(String, f64)> {
        let lines = self.pages.iter().flat_map(|page| page.lines());
        let of_metric = lines.filter(|line| line.starts_with(&format!("{metric}{{")));
        let parted = of_metric.map(|line| line.rsplit_once(' ').unwrap());
        parted.map(|(series, value)| (series.to_owned(), value.parse().unwrap())).collect()
    }

    /// Returns what was counted from here to `to`.
    pub(crate) fn until(self, to: Self) -> Window {
        Window { from: self, to }
    }
}

impl Window {
    fn grown(&self, series: &str) -> f64 {
        self.to.sum(series) - self.from.sum(series)
    }

    fn grown_by_method(&self, metric: &str) -> f64 {
        METHODS.map(|method| self.grown(&format!("{metric}{{method=\"{method}\"}}"))).iter().sum()
    }

    /// Returns how many validations there were.
    pub(crate) fn validations(&self) -> f64 {
        self.grown_by_method("auth_validation_seconds_count")
    }

    /// Returns how many database queries a validation took on average.
    pub(crate) fn queries_a_validation(&self) -> f64 {
        self.grown_by_method("auth_db_queries_total") / self.validations()
    }

    /// Returns the bucket that contains the 95th percentile of validations, in microseconds: its
    /// lower and its upper bound.
    pub(crate) fn p95(&self, method: &str) -> (f64, f64) {
        let total = self.grown(&format!("auth_validation_seconds_count{{method=\"{method}\"}}"));
        assert!(total > 0.0, "no validation by {method} was counted");
        let prefix = format!("auth_validation_seconds_bucket{{method=\"{method}\",le=\"");
        let bounds = self.to.pages[0].lines().filter_map(|line| {
            line.strip_prefix(&prefix)?.split('"').next().filter(|bound| *bound != "+Inf")
        });
        let mut lower = 0.0;
        for bound in bounds {
            let upper = bound.parse::<f64>().unwrap() * 1e6;
            if self.grown(&format!("{prefix}{bound}\"}}")) >= 0.95 * total {
                return (lower, upper);
            }
            lower = upper;
        }
        (lower, f64::INFINITY)
    }
}
