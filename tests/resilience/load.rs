//! Users at work, in a steady rhythm, until they are told to stop.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::user::{Client, User};

/// How often each user does something.
const RHYTHM: Duration = Duration::from_millis(100);
/// Every so manieth time it is a refresh.
const REFRESH_EVERY: u64 = 15;

/// Users at work.
#[derive(Debug)]
pub(crate) struct Load {
    stop: CancellationToken,
    users: JoinSet<(User, Tally)>,
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Requests that were answered as they should be.
    pub(crate) good: u64,
    /// Refreshes among them that gave a new refresh token.
    pub(crate) rotations: u64,
    /// All others.
    pub(crate) errors: Vec<String>,
}

impl Load {
    /// Has users log in and set to work: each makes ten requests a second.
    pub(crate) async fn begin(client: &Client, users: usize) -> Self {
        let stop = CancellationToken::new();
        let mut set = JoinSet::new();
        for at in 0..users {
            let user = User::log_in(client, &format!("user-{at}")).await.unwrap();
            set.spawn(work(user, stop.clone(), at as u64));
        }
        Self { stop, users: set }
    }

    /// Has them stop. The users, and what came of all their work.
    pub(crate) async fn end(self) -> (Vec<User>, Tally) {
        self.stop.cancel();
        let (mut users, mut all) = (Vec::new(), Tally::default());
        for (user, tally) in self.users.join_all().await {
            users.push(user);
            all.good += tally.good;
            all.rotations += tally.rotations;
            all.errors.extend(tally.errors);
        }
        (users, all)
    }
}

async fn work(mut user: User, stop: CancellationToken, offset: u64) -> (User, Tally) {
    let mut tally = Tally::default();
    let mut rhythm = tokio::time::interval(RHYTHM);
    for step in offset.. {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = rhythm.tick() => {}
        }
        let done = if step % REFRESH_EVERY == 0 {
            refresh(&mut user, &mut tally).await
        } else {
            user.validate().await
        };
        match done {
            Ok(true) => tally.good += 1,
            Ok(false) => tally.errors.push("a good access token was refused".into()),
            Err(status) => tally.errors.push(format!("{:?}: {}", status.code(), status.message())),
        }
    }
    (user, tally)
}

async fn refresh(user: &mut User, tally: &mut Tally) -> Result<bool, Status> {
    tally.rotations += u64::from(user.refresh().await?);
    Ok(true)
}
