//! A real browser with a real cookie jar: a product's page in one or many tabs, with networks that
//! lose replies, hostile pages, and a thief who copied the cookie.
//!
//! `scripts/tools` installs the browsers and their drivers. Without them, these tests fail.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may fail by a panic"
)]

mod chromium;
mod clock;
mod front_end;
mod line;
mod product;

mod asleep;
mod bound;
mod console;
mod engines;
mod foreign_pages;
mod late;
mod login;
mod logout;
mod lost_replies;
mod many_tabs;
mod neighbours;
mod pages;
mod refusals;
mod start;
mod stolen;
