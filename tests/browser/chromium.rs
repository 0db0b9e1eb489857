//! A real Chromium that `driver.mjs` controls.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use test_support::script::Script;
use test_support::tools;

/// A browser with one cookie jar.
#[derive(Debug)]
pub(crate) struct Chromium(Script);

/// A tab.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tab(u64);

/// A cookie in the jar.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Cookie {
    pub(crate) name: String,
    pub(crate) value: String,
    pub(crate) domain: String,
    pub(crate) path: String,
    pub(crate) http_only: bool,
    pub(crate) secure: bool,
    pub(crate) same_site: String,
    /// Seconds since the Unix epoch, by the browser's clock.
    pub(crate) expires: f64,
}

impl Chromium {
    /// Starts a browser with an empty jar.
    ///
    /// # Panics
    ///
    /// Panics if Chromium is not installed.
    pub(crate) fn start() -> Self {
        let executable = tools::path("chromium");
        let mut browser = Self(Script::node(include_str!("driver.mjs")));
        browser.exchange(&json!({ "executable": executable }));
        browser
    }

    /// Opens a page in a new tab.
    pub(crate) fn open(&mut self, url: &str) -> Tab {
        Tab(self.exchange(&json!({ "what": "open", "url": url })).as_u64().unwrap())
    }

    /// Runs a script in several tabs at the same moment. Returns each result, or the reason of its
    /// failure.
    pub(crate) fn run(&mut self, tabs: &[Tab], script: &str) -> Vec<Result<Value, String>> {
        let tabs: Vec<u64> = tabs.iter().map(|tab| tab.0).collect();
        let all = self.exchange(&json!({ "what": "run", "tabs": tabs, "script": script }));
        all.as_array().unwrap().iter().map(outcome).collect()
    }

    /// Runs a script in a tab.
    ///
    /// # Panics
    ///
    /// Panics if the script fails.
    pub(crate) fn run_in(&mut self, tab: Tab, script: &str) -> Value {
        self.run(&[tab], script).remove(0).unwrap()
    }

    /// Starts a script in a tab, and does not wait for its end.
    pub(crate) fn begin(&mut self, tab: Tab, script: &str) {
        self.exchange(&json!({ "what": "begin", "tab": tab.0, "script": script }));
    }

    /// Reloads a tab's page.
    pub(crate) fn reload(&mut self, tab: Tab) {
        self.exchange(&json!({ "what": "reload", "tab": tab.0 }));
    }

    /// Closes a tab.
    pub(crate) fn close(&mut self, tab: Tab) {
        self.exchange(&json!({ "what": "close", "tab": tab.0 }));
    }

    /// Wakes all pages after a sleep.
    pub(crate) fn wake(&mut self, after: Duration) {
        self.exchange(&json!({ "what": "wake", "seconds": after.as_secs() }));
    }

    /// Returns the cookies in the jar.
    pub(crate) fn jar(&mut self) -> Vec<Cookie> {
        serde_json::from_value(self.exchange(&json!({ "what": "cookies" }))).unwrap()
    }

    fn exchange(&mut self, ask: &Value) -> Value {
        let line = self.0.ask(&ask.to_string());
        let told = serde_json::from_str(&line).expect("the driver answers");
        outcome(&told).unwrap_or_else(|failure| panic!("{ask}: {failure}"))
    }
}

fn outcome(told: &Value) -> Result<Value, String> {
    match &told["failed"] {
        Value::Null => Ok(told["done"].clone()),
        failure => Err(failure.as_str().unwrap().to_owned()),
    }
}
