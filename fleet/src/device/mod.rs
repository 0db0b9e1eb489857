//! A client: one device of a user, with what happens to it.
//!
//! * `habits`, `network`: the distributions
//! * `jar`, `queue`: a cookie jar; the events that lie before a client
//! * `life`: the device wakes, sleeps, dies; its user acts
//! * `exchange`: a request, its answer, and everything that goes wrong in between
//! * `past`: the last things that happened to it
//! * `theft`: a thief with a copy of the cookie
//!
//! A client depends on no other client, and draws from its own dice. All that it does happens in the
//! order of simulated time, one event after another.

mod exchange;
mod habits;
mod jar;
mod life;
mod network;
mod past;
mod queue;
pub(crate) mod theft;

use std::collections::BTreeMap;
use std::time::Duration;

use token_authority::clock::Timestamp;

use crate::dice::Dice;
use crate::group::{Excess, Group};
use crate::service::{Answer, Service};
use crate::settings::{
    DAY, HOUR, JAR_LAG, MAX_LIFETIME, MINUTE, REFRESH_LIFETIME, START, Settings,
};
use crate::tally::{Cause, Tally};
use crate::world::World;
use habits::Kind;
use jar::{Cookie, Jar};
use queue::Queue;
use theft::Thief;

/// A tab of a browser, or the app of a phone.
#[derive(Debug, Clone, Default)]
struct Tab {
    /// Whether it is open and not kept aside by the browser.
    is_shown: bool,
    is_open: bool,
    /// Whether its page asks for a new token by itself when the old one ends.
    polls: bool,
    /// Grows with every page that is loaded in it.
    page: u32,
    /// The request that it waits for.
    waits_for: Option<u64>,
    /// How often it has tried in vain.
    tries: u32,
    /// When it needs a new access token. `None`: it has none.
    needs_at: Option<Timestamp>,
}

/// A place in a device: a page of a tab, in one life of the browser.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    tab: usize,
    page: u32,
    life: u32,
}

/// A request under way.
#[derive(Debug, Clone)]
struct Request<T> {
    number: u64,
    from: Place,
    cookie: Cookie<T>,
    /// Whether it repeats one that failed.
    is_retry: bool,
    /// Whether anybody awaits the answer.
    is_awaited: bool,
    /// When the answer arrives after the decision. `None`: it is lost.
    answer: Option<Duration>,
    copy: Option<Duration>,
}

#[derive(Debug)]
enum Event<T, A> {
    /// A day begins.
    Day(u32),
    Wake,
    Sleep,
    /// The user does something, after the device woke up for the n-th time.
    Act(u32),
    LogIn,
    /// A page needs an access token, if it has none that is good for a minute.
    Need(Place),
    /// A page asks for one.
    Ask(Place),
    Arrive(Request<T>),
    Land(Request<T>, Answer<T, A>),
    GiveUp(Place, u64),
    /// A page uses an access token, in that login and life, until the token ends.
    Use(A, u32, u32, Timestamp),
    /// The jar is written.
    Write(u32),
    Crash(u32),
    Reopen(u32),
    Thaw(Place),
    /// A backup of the profile is made.
    Backup,
    /// The profile is restored.
    Restore(Cookie<T>),
    /// The login's second answer.
    SetAgain(Cookie<T>),
    ThiefCopies,
    ThiefActs(u32),
}

/// How far the device's own clock is off.
#[derive(Debug, Clone, Copy)]
enum DeviceClock {
    Ahead(Duration),
    Behind(Duration),
}

impl DeviceClock {
    /// One device in ten has a clock that is off by minutes. Half of those are ahead.
    fn draw(dice: &Dice) -> Self {
        let is_off = dice.chance(0.1);
        let off = dice.between(MINUTE, MINUTE * 10) * u32::from(is_off);
        if dice.chance(0.5) { Self::Ahead(off) } else { Self::Behind(off) }
    }
}

/// A request, and its answer that has not arrived yet.
type Held<S> =
    (Request<<S as Service>::Token>, Answer<<S as Service>::Token, <S as Service>::Access>);

/// A device of a user.
#[derive(Debug)]
pub(crate) struct Device<S: Service> {
    group: Group,
    user: u32,
    kind: Kind,
    dice: Dice,
    settings: Settings,
    queue: Queue<Event<S::Token, S::Access>>,
    jar: Jar<S::Token>,
    tabs: Vec<Tab>,
    is_awake: bool,
    /// Whether the browser runs.
    is_up: bool,
    /// How often the browser was started after it had died.
    life: u32,
    /// How often the device woke up.
    wakes: u32,
    clock: DeviceClock,
    /// The number of the present login. 0: none yet.
    login: u32,
    is_login_due: bool,
    logged_in_at: Timestamp,
    renewed_at: Timestamp,
    requests: u64,
    /// Until when a copy or a late request may be under way. There is one at a time.
    stray_until: Timestamp,
    /// The login that is outside the bounds since the browser died.
    excused: Option<u32>,
    /// The life of the browser that ended with a refresh that was not on disk.
    lost_in: Option<u32>,
    /// Answers that arrived while the laptop slept, in a group that gets them later.
    held: Vec<Held<S>>,
    cause: Cause,
    thief: Option<Thief<S::Token>>,
    past: past::Past,
    pub(crate) tally: Tally,
}

impl<S: Service> Device<S> {
    pub(crate) fn new(number: u32, group: Group, settings: &Settings) -> Self {
        let dice = Dice::new(settings.seed, u64::from(number));
        let kind = Kind::draw(&dice);
        let tab = |at| Tab {
            is_shown: true,
            is_open: true,
            polls: at == 0 || dice.chance(0.4),
            ..Tab::default()
        };
        let tabs = (0..kind.tabs(&dice)).map(tab).collect();
        let clock = DeviceClock::draw(&dice);
        let mut queue = Queue::new();
        queue.add(START, Event::Day(0));
        if group.has_thieves {
            let first_third = DAY * settings.days / 3;
            queue.add(START + dice.between(HOUR * 9, first_third), Event::ThiefCopies);
        }
        if matches!(group.excess, Excess::Restored(_)) {
            queue.add(START + HOUR * 10 + dice.between(Duration::ZERO, DAY), Event::Backup);
        }
        Self {
            group,
            // Every fifth device is the second one of its user.
            user: number - u32::from(number % 5 == 4),
            kind,
            dice,
            settings: *settings,
            queue,
            jar: Jar::new(),
            tabs,
            is_awake: false,
            is_up: true,
            life: 0,
            wakes: 0,
            clock,
            login: 0,
            is_login_due: true,
            logged_in_at: START,
            renewed_at: START,
            requests: 0,
            stray_until: START,
            excused: None,
            lost_in: None,
            held: Vec::new(),
            cause: Cause::Nothing,
            thief: group.has_thieves.then(|| Thief::new(number)),
            past: past::Past::default(),
            tally: Tally { clients: 1, wrong_logouts: BTreeMap::new(), ..Tally::default() },
        }
    }

    pub(crate) fn group(&self) -> &'static str {
        self.group.name
    }

    pub(crate) fn thief(&self) -> Option<&Thief<S::Token>> {
        self.thief.as_ref()
    }

    /// Returns the time of the next event.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.queue.first()
    }

    /// Lets everything happen that lies before that time.
    pub(crate) async fn run_until(&mut self, end: Timestamp, world: &World, service: &S) {
        while let Some((at, event)) = self.queue.take_before(end) {
            match event {
                Event::Day(day) => self.begin_day(at, day),
                Event::Wake => self.wake(at),
                Event::Sleep => self.fall_asleep(at),
                Event::Act(wake) => self.act(at, wake, world, service).await,
                Event::LogIn => self.log_in(at, world, service).await,
                Event::Need(place) => self.need(at, place),
                Event::Ask(place) => self.ask(at, place),
                Event::Arrive(request) => self.arrive(at, request, world, service).await,
                Event::Land(request, answer) => self.land(at, request, answer),
                Event::GiveUp(place, request) => self.give_up(at, place, request),
                Event::Use(access, login, life, until) => {
                    if self.is_awake && life == self.life && login == self.login && at < until {
                        self.use_token(at, &access, world, service).await;
                    }
                }
                Event::Write(life) if life == self.life => self.jar.write(),
                Event::Write(_) => {}
                Event::Crash(life) => self.crash(at, life),
                Event::Reopen(life) => self.reopen(at, life),
                Event::Thaw(place) => self.thaw(at, place),
                Event::Backup => self.back_up(at),
                Event::Restore(cookie) => self.restore(at, cookie),
                Event::SetAgain(cookie) => self.set_again(at, cookie),
                Event::ThiefCopies => self.thief_copies(at),
                Event::ThiefActs(copy) => self.thief_acts(at, copy, world, service).await,
            }
        }
    }

    /// Returns a replica that the load balancer considers alive.
    fn replica(&self, world: &World) -> usize {
        let Group { first_replica, replicas, .. } = self.group;
        let pick = first_replica + self.dice.below(replicas);
        if world.dead != Some(pick) {
            return pick;
        }
        first_replica + (pick - first_replica + 1) % replicas
    }

    /// Returns how long the browser takes to write a changed jar.
    fn jar_lag(&self) -> Duration {
        match (self.kind, self.group.excess) {
            (Kind::Phone, _) => Duration::ZERO,
            (Kind::Browser, Excess::LateJar(lag)) => lag,
            (Kind::Browser, _) => JAR_LAG,
        }
    }

    /// Stores a cookie, and begins to write it.
    fn store(&mut self, at: Timestamp, token: S::Token) {
        let expires_at = (at + REFRESH_LIFETIME).min(self.logged_in_at + MAX_LIFETIME);
        let cookie = Cookie { token, login: self.login, expires_at };
        self.put(at, Some(cookie));
    }

    fn put(&mut self, at: Timestamp, cookie: Option<Cookie<S::Token>>) {
        if let Some(cookie) = &cookie {
            self.past.note(at, "jar holds", 0, &cookie.token);
        }
        let is_first_change = self.jar.set(cookie);
        if self.kind == Kind::Phone {
            self.jar.write();
        } else if is_first_change {
            self.queue.add(at + self.jar_lag(), Event::Write(self.life));
        }
    }

    fn place(&self, tab: usize) -> Place {
        Place { tab, page: self.tabs[tab].page, life: self.life }
    }

    /// Returns whether a page is still there, and may do something.
    fn is_there(&self, place: Place) -> bool {
        let tab = &self.tabs[place.tab];
        let is_running = self.is_awake && self.is_up && place.life == self.life;
        is_running && tab.is_open && tab.is_shown && tab.page == place.page
    }

    fn is_waiting(&self) -> bool {
        self.tabs.iter().any(|tab| tab.waits_for.is_some())
    }

    fn after(&mut self, at: Timestamp, longest: Duration, event: Event<S::Token, S::Access>) {
        let delay = self.dice.between(Duration::ZERO, longest);
        self.queue.add(at + delay, event);
    }
}
