//! One caller's flood is its own trouble.

use std::io::Write as _;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tonic::Code;
use tonic::transport::Channel;
use tonic_types::StatusExt as _;

use crate::authority::House;
use crate::rpc::{self, VALIDATE};

const CALLS: usize = 40;

/// Calls one after another, as many as a burst allows. The slowest but one.
async fn calls(channel: &Channel, key: &str) -> Duration {
    let mut took = Vec::new();
    for _ in 0..CALLS {
        let begun = Instant::now();
        let answer = rpc::unary(channel, VALIDATE, Some(key), Bytes::new()).await;
        assert!(answer.is_ok(), "a caller within its limit was refused: {answer:?}");
        took.push(begun.elapsed());
    }
    took.sort();
    took[CALLS - 2]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flooding_caller_is_held_back_and_another_is_answered() {
    let house = House::new();
    let (loud, quiet) = (house.add("loud", "verifier"), house.add("quiet", "verifier"));
    let authority = house.start(&[("RATE_LIMIT_PER_CALLER", "20/100")]);
    let channel = rpc::connect(authority.grpc).await;
    let before = calls(&channel, &quiet).await;

    let flood: Vec<_> = (0..8)
        .map(|_| {
            let (address, key) = (authority.grpc, loud.clone());
            tokio::spawn(async move {
                let channel = rpc::connect(address).await;
                let mut answers = Vec::new();
                for _ in 0..250 {
                    answers.push(rpc::unary(&channel, VALIDATE, Some(&key), Bytes::new()).await);
                }
                answers
            })
        })
        .collect();
    let during = calls(&channel, &quiet).await;
    let (mut answered, mut limited) = (0, 0);
    for task in flood {
        for answer in task.await.unwrap() {
            match rpc::reason(&answer) {
                (Code::Ok, _) => answered += 1,
                (Code::ResourceExhausted, reason) if reason == "RATE_LIMITED" => {
                    limited += 1;
                    let details = answer.unwrap_err().get_error_details();
                    assert!(details.retry_info().unwrap().retry_delay.unwrap() > Duration::ZERO);
                }
                other => panic!("{other:?}"),
            }
        }
    }
    assert!(answered >= 100 && limited > 0, "{answered} answered, {limited} limited");
    let ratio = during.as_secs_f64() / before.as_secs_f64();
    let told = format!(
        "flood: {answered} answered, {limited} limited; the quiet caller took {before:?} before, \
         {during:?} during: {ratio:.1} times\n"
    );
    std::io::stderr().write_all(told.as_bytes()).unwrap();
}
