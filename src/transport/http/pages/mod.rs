//! The pages for people: rendered here, with forms and without a script.
//!
//! * `settings`: the product's name, the way back to it, and its colour
//! * `texts`: every text
//! * `sessions`: the view of a user's sessions
//! * `start`: the start page, and the tokens taken apart
//! * `device`, `when`: devices and times in words
//! * `templates/` holds the HTML and the style. The templates escape every value.

mod device;
mod sessions;
mod settings;
mod start;
mod texts;
mod when;

use askama::Template;
use axum::response::{Html, IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderName, HeaderValue, StatusCode, header};
use sha2::{Digest as _, Sha256};

pub(crate) use device::in_words;
pub(super) use sessions::SessionsPage;
pub use settings::{AccentColor, BackUrl, NoBackUrl, NoColor, PagesSettings};
pub(super) use start::{IntroPage, LifePage, Said, access_token, refresh_token, use_of_copy};
pub(super) use texts::{
    FOREIGN, Message, OTHER_USER, SIGNED_OUT, TO_LIFE, TO_SESSIONS, TRY_AGAIN, UNKNOWN_SESSION,
};
pub(crate) use when::When;

const STYLE: &str = include_str!("../../../../templates/style.css");

/// The part that all pages have in common.
#[derive(Debug)]
pub(crate) struct Frame {
    name: Option<String>,
    back: Option<String>,
    pub(crate) style: String,
    policy: HeaderValue,
}

impl Frame {
    /// Makes the frame for these settings.
    pub(super) fn new(settings: PagesSettings) -> Self {
        Self::with_style(settings, "")
    }

    /// Makes the frame for these settings, with more rules of style.
    pub(crate) fn with_style(settings: PagesSettings, more: &str) -> Self {
        let PagesSettings { name, back, accent } = settings;
        let style =
            format!(":root{{--accent:{accent};--on-accent:{}}}\n{STYLE}{more}", accent.text());
        let hash = STANDARD.encode(Sha256::digest(style.as_bytes()));
        // A browser then runs no script, loads nothing, sends forms only to this origin, and shows
        // the page in no other one (clickjacking).
        let policy = format!(
            "default-src 'none'; style-src 'sha256-{hash}'; form-action 'self'; \
             frame-ancestors 'none'; base-uri 'none'"
        );
        let policy = HeaderValue::from_str(&policy)
            .unwrap_or(HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"));
        Self { name, back: back.map(|back| back.as_str().to_owned()), style, policy }
    }

    /// Answers with a page.
    pub(crate) fn answer(&self, status: StatusCode, page: &impl Template) -> Response {
        match page.render() {
            Ok(html) => (status, self.headers(), Html(html)).into_response(),
            Err(error) => {
                tracing::error!(%error, "a page cannot be rendered");
                StatusCode::INTERNAL_SERVER_ERROR.into_response()
            }
        }
    }

    /// Answers with a page that says only one thing. `link` leads on: a path and its text.
    pub(super) fn message(
        &self,
        status: StatusCode,
        message: Message,
        link: (&str, &str),
    ) -> Response {
        self.answer(status, &MessagePage { frame: self, message, link })
    }

    fn headers(&self) -> [(HeaderName, HeaderValue); 6] {
        let fixed = HeaderValue::from_static;
        [
            (header::CACHE_CONTROL, fixed("no-store")),
            (header::CONTENT_SECURITY_POLICY, self.policy.clone()),
            // With `no-referrer`, the page's forms would have the origin `null`.
            (header::REFERRER_POLICY, fixed("same-origin")),
            (header::VARY, fixed("accept")),
            (header::X_CONTENT_TYPE_OPTIONS, fixed("nosniff")),
            (header::X_FRAME_OPTIONS, fixed("DENY")),
        ]
    }

    /// Returns the text of the link at the top.
    fn back_text(&self) -> String {
        self.name.as_deref().map_or_else(|| texts::BACK.to_owned(), texts::back_to)
    }

    /// Returns a page's title with the product's name.
    pub(crate) fn title(&self, title: &str) -> String {
        match &self.name {
            Some(name) => format!("{title} · {name}"),
            None => title.to_owned(),
        }
    }
}

/// A page that says only one thing.
#[derive(Debug, Template)]
#[template(path = "message.html")]
struct MessagePage<'a> {
    frame: &'a Frame,
    message: Message,
    link: (&'a str, &'a str),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(name: &str) -> Frame {
        let settings = PagesSettings {
            name: Some(name.to_owned()),
            back: Some("/account".parse().unwrap()),
            accent: "#ffcc00".parse().unwrap(),
        };
        Frame::new(settings)
    }

    fn html(frame: &Frame) -> String {
        let message = SIGNED_OUT;
        MessagePage { frame, message, link: ("/sessions", TO_SESSIONS) }.render().unwrap()
    }

    #[test]
    fn the_policy_admits_exactly_the_style_of_the_page() {
        let frame = frame("Example");
        let html = html(&frame);
        let style = html.split("<style>").nth(1).unwrap().split("</style>").next().unwrap();
        let hash = STANDARD.encode(Sha256::digest(style.as_bytes()));
        let policy = frame.policy.to_str().unwrap();
        assert!(policy.contains(&format!("style-src 'sha256-{hash}';")), "{policy}");
        assert!(style.starts_with(":root{--accent:#ffcc00;--on-accent:#000000}"));
        assert_eq!(html.matches("<style>").count(), 1);
        assert!(!html.contains("style=\"") && !html.contains("<script"));
    }

    #[test]
    fn the_product_s_name_is_text() {
        let html = html(&frame("<b>A & B</b>"));
        assert!(!html.contains("<b>"), "{html}");
        assert!(html.contains("Back to &#60;b&#62;A &#38; B&#60;/b&#62;"), "{html}");
    }
}
