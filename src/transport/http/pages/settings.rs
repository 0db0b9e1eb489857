//! How the pages look like part of the product: its name, the way back to it, and its colour.

use std::fmt;
use std::str::FromStr;

use url::Url;

use crate::transport::callers::roles::START;

/// The settings of the pages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PagesSettings {
    /// The name of the product. `None`: the pages show no name.
    pub name: Option<String>,
    /// The page that the link at the top leads back to. `None`: there is no link.
    pub back: Option<BackUrl>,
    /// The colour of buttons and marks.
    pub accent: AccentColor,
}

impl PagesSettings {
    /// Leads back to the start page, unless the settings lead elsewhere.
    pub(in crate::transport::http) fn or_start_page(self) -> Self {
        let back = self.back.or_else(|| Some(BackUrl(START.path().to_owned())));
        let name = self.name.or_else(|| Some(env!("CARGO_PKG_NAME").to_owned()));
        Self { name, back, ..self }
    }
}

/// The address of a page of the product: an `https` or `http` URL, or a path of the same origin. Other
/// schemes, such as `javascript`, could run a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackUrl(String);

impl BackUrl {
    /// Returns the address as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The text is not the address of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a page such as https://app.example.com/account or /account")]
pub struct NoBackUrl;

impl FromStr for BackUrl {
    type Err = NoBackUrl;

    fn from_str(text: &str) -> Result<Self, NoBackUrl> {
        // Browsers read `//host` and `/\host` as the address of another host.
        let is_path = text.starts_with('/') && !text[1..].starts_with(['/', '\\']);
        let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic());
        let is_url = || Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "https" | "http"));
        if is_plain && (is_path || is_url()) { Ok(Self(text.to_owned())) } else { Err(NoBackUrl) }
    }
}

/// A colour, such as `#1f5fbf`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccentColor([u8; 3]);

impl Default for AccentColor {
    fn default() -> Self {
        Self([0x1f, 0x5f, 0xbf])
    }
}

/// The text is not a colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a colour such as #1f5fbf")]
pub struct NoColor;

impl FromStr for AccentColor {
    type Err = NoColor;

    fn from_str(text: &str) -> Result<Self, NoColor> {
        let digits = text.strip_prefix('#').ok_or(NoColor)?;
        let mut parts = [0; 3];
        hex::decode_to_slice(digits, &mut parts).map_err(|_| NoColor)?;
        Ok(Self(parts))
    }
}

impl fmt::Display for AccentColor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", hex::encode(self.0))
    }
}

impl AccentColor {
    /// Returns black or white, whichever is easier to read on this colour. One of the two always has
    /// a contrast of at least 4.5 (WCAG 2.2, success criterion 1.4.3).
    pub(super) fn text(self) -> &'static str {
        let light = self.luminance() + 0.05;
        if 1.05 / light >= light / 0.05 { "#ffffff" } else { "#000000" }
    }

    /// Returns the relative luminance (WCAG 2.2, "Terms").
    fn luminance(self) -> f64 {
        let linear = self.0.map(|part| {
            let part = f64::from(part) / 255.0;
            if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
        });
        0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_page_is_a_way_back() {
        for good in
            ["https://app.example.com/account?tab=1", "http://localhost:3000", "/", "/account"]
        {
            assert_eq!(good.parse::<BackUrl>().unwrap().as_str(), good);
        }
        for bad in [
            "javascript:alert(1)",
            "//evil.example",
            "/\\evil.example",
            "account",
            "",
            "/a b",
            "data:,x",
        ] {
            assert_eq!(bad.parse::<BackUrl>(), Err(NoBackUrl), "{bad}");
        }
    }

    #[test]
    fn every_colour_has_text_that_can_be_read() {
        for (color, text) in [
            ("#1f5fbf", "#ffffff"),
            ("#FFCC00", "#000000"),
            ("#000000", "#ffffff"),
            ("#767676", "#000000"),
        ] {
            let parsed: AccentColor = color.parse().unwrap();
            assert_eq!((parsed.to_string(), parsed.text()), (color.to_lowercase(), text));
        }
        for step in 0..=255 {
            let color = AccentColor([step, 255 - step, step / 2]);
            let light = color.luminance() + 0.05;
            let contrast = if color.text() == "#ffffff" { 1.05 / light } else { light / 0.05 };
            assert!(contrast >= 4.5, "{color}: {contrast}");
        }
        for bad in ["red", "#fff", "#gggggg", "1f5fbf", "#1f5fbf;", ""] {
            assert_eq!(bad.parse::<AccentColor>(), Err(NoColor), "{bad}");
        }
    }
}
