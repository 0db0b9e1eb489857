//! Users and browsers that work in a steady rhythm until they are stopped.

use std::time::Duration;

use test_support::http::Http;
use tokio::task::JoinSet;
use tokio::time::interval;
use tokio_util::sync::CancellationToken;

use crate::browser::Browser;
use crate::user::{Client, User};

/// How often each user makes a request.
const RHYTHM: Duration = Duration::from_millis(100);
/// Each request with a multiple of this number is a refresh.
const REFRESH_EVERY: u64 = 15;
/// How often each browser refreshes. This is more often than tokens rotate.
const RENEW: Duration = Duration::from_millis(500);

/// Users and browsers at work.
#[derive(Debug)]
pub(crate) struct Load {
    stop: CancellationToken,
    users: JoinSet<(User, Tally)>,
    browsers: JoinSet<(Browser, Tally)>,
}

/// The results of the load.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Requests with the expected answer.
    pub(crate) good: u64,
    /// Refreshes among them that gave a new refresh token.
    pub(crate) rotations: u64,
    /// The errors of all other requests.
    pub(crate) errors: Vec<String>,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.good += other.good;
        self.rotations += other.rotations;
        self.errors.extend(other.errors);
    }

    fn refreshed(&mut self, done: Result<bool, String>) {
        self.rotations += u64::from(done.as_ref().is_ok_and(|rotated| *rotated));
        self.did(done.map(|_| ()));
    }

    fn did(&mut self, done: Result<(), String>) {
        match done {
            Ok(()) => self.good += 1,
            Err(why) => self.errors.push(why),
        }
    }
}

impl Load {
    /// Logs users in and starts them, each with ten requests per second over gRPC, and the same
    /// number of browsers, each with two requests per second over HTTP.
    pub(crate) async fn begin(client: &Client, http: &Http, many: usize) -> Self {
        let stop = CancellationToken::new();
        let (mut users, mut browsers) = (JoinSet::new(), JoinSet::new());
        for at in 0..many {
            let user = User::log_in(client, &format!("user-{at}")).await.unwrap();
            users.spawn(work(user, stop.clone(), at as u64));
            let name = format!("browser-{at}");
            let browser = Browser::log_in(client, http, &name).await.unwrap();
            browsers.spawn(browse(browser, stop.clone()));
        }
        Self { stop, users, browsers }
    }

    /// Stops them. Returns all of them, and the results.
    pub(crate) async fn end(self) -> (Vec<User>, Vec<Browser>, Tally) {
        self.stop.cancel();
        let (mut users, mut browsers, mut all) = (Vec::new(), Vec::new(), Tally::default());
        for (user, tally) in self.users.join_all().await {
            users.push(user);
            all.add(tally);
        }
        for (browser, tally) in self.browsers.join_all().await {
            browsers.push(browser);
            all.add(tally);
        }
        (users, browsers, all)
    }
}

async fn work(mut user: User, stop: CancellationToken, offset: u64) -> (User, Tally) {
    let mut tally = Tally::default();
    let mut rhythm = interval(RHYTHM);
    for step in offset.. {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = rhythm.tick() => {}
        }
        if step % REFRESH_EVERY == 0 {
            tally.refreshed(user.refresh().await.map_err(|status| format!("{status:?}")));
        } else {
            tally.did(match user.validate().await {
                Ok(true) => Ok(()),
                Ok(false) => Err("a good access token was refused".into()),
                Err(status) => Err(format!("{status:?}")),
            });
        }
    }
    (user, tally)
}

async fn browse(mut browser: Browser, stop: CancellationToken) -> (Browser, Tally) {
    let mut tally = Tally::default();
    let mut rhythm = interval(RENEW);
    loop {
        tokio::select! {
            () = stop.cancelled() => return (browser, tally),
            _ = rhythm.tick() => {}
        }
        tally.refreshed(browser.refresh().await);
    }
}
