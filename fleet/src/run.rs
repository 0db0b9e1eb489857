//! Runs all clients through the simulated time, minute by minute. Within a minute, clients run side by
//! side, each through its own events in order. What happens to the whole service happens between two
//! minutes.

use std::collections::BTreeMap;

use futures::{StreamExt as _, stream};
use token_authority::clock::Timestamp;

use crate::device::Device;
use crate::device::theft::{End, Habit};
use crate::group::groups;
use crate::service::Service;
use crate::settings::{DAY, MINUTE, START, Settings};
use crate::tally::Tally;
use crate::world::{World, turns_of};

/// How many clients run side by side. The store takes 4,096 waiting operations of a replica.
const SIDE_BY_SIDE: usize = 2048;

/// What a thief achieved.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Theft {
    pub(crate) habit: Habit,
    pub(crate) got: u32,
    pub(crate) is_found: bool,
    pub(crate) ended_otherwise: bool,
    /// How often the victim came back while the thief had the session, more than A apart from it.
    pub(crate) victim_came: u32,
    /// From its first use of the copy to the revocation, or to the end of the run, in seconds.
    pub(crate) life: u64,
}

/// The result of a run.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) rule: String,
    /// The counts by group, in the order of the groups.
    pub(crate) groups: Vec<(&'static str, Tally)>,
    pub(crate) thefts: Vec<Theft>,
    pub(crate) verdicts: Vec<(&'static str, u64)>,
}

impl Outcome {
    pub(crate) fn group(&self, name: &str) -> &Tally {
        let found = self.groups.iter().find(|(one, _)| *one == name);
        &found.unwrap_or_else(|| panic!("there is no group {name}")).1
    }

    /// Returns the group inside the documented bounds.
    pub(crate) fn inside(&self) -> &Tally {
        self.group("inside the bounds")
    }
}

/// Runs the clients of all groups against a service.
pub(crate) async fn run<S: Service>(rule: &str, service: &mut S, settings: &Settings) -> Outcome {
    let groups = groups(settings);
    let mut devices: Vec<Device<S>> = Vec::new();
    for group in &groups {
        for _ in 0..group.clients {
            devices.push(Device::new(devices.len() as u32, *group, settings));
        }
    }
    let mut world = World::new();
    let mut now = START;
    for day in 0..settings.days {
        for (at, turn) in turns_of(day) {
            now = advance(&mut devices, &world, service, now, at).await;
            world.follow(turn);
            service.turn(at, turn).await;
        }
        now = advance(&mut devices, &world, service, now, START + DAY * (day + 1)).await;
    }
    let by_group = groups.iter().map(|group| {
        let mut tally = Tally::default();
        let members = devices.iter().filter(|device| device.group() == group.name);
        members.for_each(|device| tally.add(&device.tally));
        (group.name, tally)
    });
    Outcome {
        rule: rule.to_owned(),
        groups: by_group.collect(),
        thefts: devices.iter().filter_map(|device| theft(device, settings.end())).collect(),
        verdicts: service.verdicts(),
    }
}

/// Runs the clients up to a moment, in steps of a minute. Returns that moment.
async fn advance<S: Service>(
    devices: &mut [Device<S>],
    world: &World,
    service: &mut S,
    from: Timestamp,
    to: Timestamp,
) -> Timestamp {
    let mut now = from;
    while now < to {
        let end = to.min(now + MINUTE);
        let due = devices.iter_mut().filter(|device| device.next().is_some_and(|at| at < end));
        let service = &*service;
        stream::iter(due)
            .for_each_concurrent(SIDE_BY_SIDE, |device| device.run_until(end, world, service))
            .await;
        now = end;
    }
    now
}

fn theft<S: Service>(device: &Device<S>, end: Timestamp) -> Option<Theft> {
    let thief = device.thief()?;
    let first_at = thief.first_at?;
    let until = match thief.end {
        End::Found(at) => at,
        End::Open | End::Other => end,
    };
    Some(Theft {
        habit: thief.habit,
        got: thief.got,
        is_found: matches!(thief.end, End::Found(_)),
        ended_otherwise: thief.end == End::Other,
        victim_came: thief.victim_came,
        life: until.since(first_at).as_secs(),
    })
}

/// Counts of thieves by how long they could stay.
#[derive(Debug, Clone, Default)]
pub(crate) struct Thefts {
    pub(crate) thieves: usize,
    pub(crate) found: usize,
    /// Not found although the victim came back.
    pub(crate) stay: usize,
    /// Not found yet, and the victim has not come back.
    pub(crate) unmet: usize,
    pub(crate) ended_otherwise: usize,
    /// The refreshes that each found thief got, sorted.
    pub(crate) got: Vec<u32>,
    /// The life of each found thief in seconds, sorted.
    pub(crate) lives: Vec<u64>,
}

impl Thefts {
    /// Returns a quantile, in tenths.
    pub(crate) fn quantile<T: Copy>(sorted: &[T], tenths: usize) -> Option<T> {
        let last = sorted.len().checked_sub(1)?;
        sorted.get((last * tenths).div_ceil(10)).copied()
    }
}

impl Outcome {
    pub(crate) fn thefts_by_habit(&self) -> BTreeMap<Habit, Thefts> {
        let mut by_habit = BTreeMap::<Habit, Thefts>::new();
        for theft in &self.thefts {
            let sum = by_habit.entry(theft.habit).or_default();
            sum.thieves += 1;
            if theft.is_found {
                sum.found += 1;
                sum.got.push(theft.got);
                sum.lives.push(theft.life);
            } else if theft.ended_otherwise {
                sum.ended_otherwise += 1;
            } else if theft.victim_came > 0 {
                sum.stay += 1;
            } else {
                sum.unmet += 1;
            }
        }
        for sum in by_habit.values_mut() {
            sum.got.sort_unstable();
            sum.lives.sort_unstable();
        }
        by_habit
    }
}
