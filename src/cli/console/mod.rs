//! `token-authority console`: pages for an operator, on the operator's own machine.
//!
//! The console is a client of an authority, like the other subcommands: each of its pages calls RPCs with
//! the operator's key. So no port is opened in production.
//!
//! 1. It listens on a loopback address and prints a link with a token of 256 bits.
//! 2. The first browser that opens the link gets a cookie, and is led to an address without the token.
//!    The link is of no use afterwards (`admission`).
//! 3. Every other request needs the cookie. Requests that name another host (DNS rebinding), that a proxy
//!    passes on, or that a page of another origin makes are refused, like those to the start page.
//! 4. Only a `POST` changes something.
//!
//! * `routes`: the requests; `forms`: their fields; `calls`: the RPCs
//! * `pages` and `templates/console`: the pages; `history`: sessions with their events; `texts`: every
//!   text

mod admission;
mod calls;
mod forms;
mod history;
mod pages;
mod routes;
mod texts;

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use clap::{Arg, ArgMatches, Command, value_parser};
use tokio::net::TcpListener;

use super::authority;
use crate::clock::OsEntropy;
use crate::config::Config;
use crate::shutdown::Signals;
use admission::Admission;
use calls::Calls;
use routes::Console;

pub(super) fn command() -> Command {
    let listen = Arg::new("listen")
        .long("listen")
        .value_name("ADDRESS")
        .value_parser(value_parser!(SocketAddr))
        .help("The loopback address to listen on, such as 127.0.0.1:7070; by default, a free port");
    Command::new("console")
        .about("Show an operator's pages on this machine: status, sessions, roll-out and keys of an authority")
        .after_help(
            "It prints a link that opens the pages once, and runs until Ctrl+C. If the authority has a \
             callers file, the caller needs the role admin.",
        )
        .args(authority::arguments())
        .arg(listen)
}

pub(super) async fn run(config: Config, matches: &ArgMatches) -> Result<(), String> {
    let authority = authority::find(&config, matches)?;
    let listen = matches.get_one::<SocketAddr>("listen").copied();
    let listen = listen.unwrap_or_else(|| (Ipv4Addr::LOCALHOST, 0).into());
    if !listen.ip().is_loopback() {
        return Err(format!("--listen {listen}: the console listens on loopback addresses only"));
    }
    let failed = |error: std::io::Error| format!("cannot listen on {listen}: {error}");
    let mut signals = Signals::catch().map_err(|error| error.to_string())?;
    let listener = TcpListener::bind(listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let (admission, token) = Admission::new(&OsEntropy);
    let told = format!(
        "Console of {}. This link works once:\n\n  http://{address}{}\n\nCtrl+C ends the console.\n",
        authority.address,
        admission.link(&token),
    );
    std::io::stdout().write_all(told.as_bytes()).map_err(|error| error.to_string())?;
    let console = Arc::new(Console::new(Calls::new(authority), admission));
    let service = routes::routes(console).into_make_service_with_connect_info::<SocketAddr>();
    tokio::select! {
        served = async { axum::serve(listener, service).await } => {
            served.map_err(|error| error.to_string())
        }
        _ = signals.next() => Ok(()),
    }
}
