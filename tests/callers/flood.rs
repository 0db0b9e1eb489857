//! A flood of one caller does not slow down another caller.

use std::time::{Duration, Instant};

use bytes::Bytes;
use prost::Message as _;
use test_support::measured::measured;
use token_authority::transport::proto::v1::IssueTokensRequest;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tonic::Code;
use tonic::transport::Channel;
use tonic_types::StatusExt as _;

use crate::authority::House;
use crate::rpc::{self, ISSUE, VALIDATE};

/// The limit of each caller: sixty calls per second.
const LIMIT: &str = "60/60";
/// The rhythm of the quiet caller, below the limit.
const QUIET_EVERY: Duration = Duration::from_millis(20);
/// The rhythm of the flooding caller: nearly seven times the limit, whatever the answers are.
const LOUD_EVERY: Duration = Duration::from_micros(2500);
/// The flood alternates between the quiet caller's service and a second one beside it. Its cost for
/// the machine affects both, and its cost within the service affects one.
const TURNS: usize = 5;
const CALLS: usize = 40;

/// The durations of the quiet caller's calls.
#[derive(Debug, Default)]
struct Took(Vec<Duration>);

impl Took {
    async fn measure(&mut self, channel: &Channel, key: &str) {
        let mut rhythm = interval(QUIET_EVERY);
        rhythm.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for _ in 0..CALLS {
            rhythm.tick().await;
            let begun = Instant::now();
            let answer = rpc::unary(channel, VALIDATE, Some(key), Bytes::new()).await;
            assert!(answer.is_ok(), "a caller within its limit was refused: {answer:?}");
            self.0.push(begun.elapsed());
        }
    }

    /// Returns the median and the 95th percentile.
    fn told(&mut self) -> (Duration, Duration) {
        self.0.sort();
        (self.0[self.0.len() / 2], self.0[self.0.len() * 19 / 20])
    }
}

/// How many logins of a flood succeeded, and how many were refused.
#[derive(Debug, Default)]
struct Flood {
    answered: u32,
    limited: u32,
}

impl Flood {
    /// Runs until `stop`.
    async fn run(mut self, channel: Channel, key: String, stop: CancellationToken) -> Self {
        let ask = IssueTokensRequest { user_id: "alice".into(), ..Default::default() };
        let ask = Bytes::from(ask.encode_to_vec());
        let (mut rhythm, mut calls) = (interval(LOUD_EVERY), JoinSet::new());
        while !stop.is_cancelled() {
            rhythm.tick().await;
            let (channel, key, ask) = (channel.clone(), key.clone(), ask.clone());
            calls.spawn(async move { rpc::unary(&channel, ISSUE, Some(&key), ask).await });
            while let Some(answer) = calls.try_join_next() {
                self.count(&answer.unwrap());
            }
        }
        for answer in calls.join_all().await {
            self.count(&answer);
        }
        self
    }

    fn count(&mut self, answer: &Result<Bytes, tonic::Status>) {
        match rpc::reason(answer) {
            (Code::Ok, _) => self.answered += 1,
            (Code::ResourceExhausted, reason) if reason == "RATE_LIMITED" => {
                self.limited += 1;
                let details = answer.as_ref().unwrap_err().get_error_details();
                assert!(details.retry_info().unwrap().retry_delay.unwrap() > Duration::ZERO);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flooding_caller_is_held_back_and_another_is_answered_as_before() {
    let (house, twin) = (House::new(), House::new());
    let (loud, quiet) = (house.add("loud", "issuer"), house.add("quiet", "verifier"));
    let loud_at_twin = twin.add("loud", "issuer");
    let limit = [("RATE_LIMIT_PER_CALLER", LIMIT)];
    let (authority, twin) = (house.start(&limit), twin.start(&limit));
    let channel = rpc::connect(authority.grpc).await;
    let places = [(twin.grpc, loud_at_twin), (authority.grpc, loud)];
    let (mut flood, mut calm) = (Flood::default(), Took::default());
    let mut flooded = places.each_ref().map(|_| Took::default());
    for _ in 0..TURNS {
        calm.measure(&channel, &quiet).await;
        for ((address, key), took) in places.iter().zip(&mut flooded) {
            let (loud, stop) = (rpc::connect(*address).await, CancellationToken::new());
            let running = tokio::spawn(flood.run(loud, key.clone(), stop.clone()));
            took.measure(&channel, &quiet).await;
            stop.cancel();
            flood = running.await.unwrap();
        }
    }
    let (calm, [beside, within]) = (calm.told(), flooded.map(|mut took| took.told()));
    let told = format!(
        "flood: {} logins answered, {} refused; the quiet caller's median and 95th percentile: \
         {calm:?} in the calm, {beside:?} with a flood beside the service, {within:?} in it",
        flood.answered, flood.limited
    );
    measured(&told);
    assert!(flood.answered >= 60 && flood.limited > flood.answered, "{told}");
    assert!(within.0 < 2 * beside.0, "{told}");
}
