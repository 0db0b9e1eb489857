//! Describes a run in words.

use token_authority::clock::Timestamp;

use crate::scenario::{Action, DAY, Scenario, TICK, Violation};
use crate::system::{LOGIN, System};
use crate::world::Tab;

const TICKS_A_DAY: u64 = DAY.as_secs() / TICK.as_secs();

/// Describes a run from the login on, with one line for each step. Each line begins with the days
/// and ticks since the login. `R0` is the login's refresh token, `R1` the next one, and so on.
pub(crate) fn tell(scenario: &Scenario, actions: &[Action], violation: Violation) -> String {
    let mut told = Vec::new();
    let mut system = System::new(scenario);
    for action in actions {
        let time = time(system.now);
        let line = line(&system, *action);
        let _ = system.take(scenario, *action);
        let Some(line) = line else { continue };
        let verdict = match &system.verdict {
            None => String::new(),
            Some((verdict, None)) => format!(": {verdict:?}"),
            Some((verdict, Some(token))) => format!(": {verdict:?}, {token}"),
        };
        told.push(format!("{time:>5}  {line}{verdict}\n"));
    }
    format!("{}   =>  {violation:?}\n", told.concat())
}

/// Formats the days and ticks since the login.
pub(crate) fn time(moment: Timestamp) -> String {
    let ticks = moment.since(LOGIN).as_secs() / TICK.as_secs();
    let (days, ticks) = (ticks / TICKS_A_DAY, ticks % TICKS_A_DAY);
    if days == 0 { format!("{ticks}") } else { format!("{days}d+{ticks}") }
}

fn line(system: &System, action: Action) -> Option<String> {
    let client = &system.client;
    Some(match action {
        Action::Tick | Action::Sleep | Action::LoseStray(_) => return None,
        Action::Send(tab) => format!("tab {tab} sends {}", client.jar),
        Action::Decide(tab, decision) => {
            let (token, _) = client.asked(tab)?;
            let again = match (decision.again, decision.copied) {
                (true, _) => ", its first copy",
                (false, true) => ", and a copy remains under way",
                (false, false) => "",
            };
            let stamp = match decision.before {
                0 => String::new(),
                before => format!(", stamped {}", time(system.stamp(before))),
            };
            format!("the server takes {token} from tab {tab}{again}{stamp}")
        }
        Action::Land(tab) => match &client.tabs[tab] {
            Tab::Answered { reply, .. } => match &reply.cookie {
                Some(cookie) => format!("tab {tab}'s reply lands, the jar holds {cookie}"),
                None => format!("tab {tab}'s reply lands, the jar still holds {}", client.jar),
            },
            Tab::Idle | Tab::Asked { .. } => return None,
        },
        Action::Lose(tab) => match &client.tabs[tab] {
            Tab::Asked { .. } => format!("tab {tab}'s request is lost"),
            Tab::Answered { .. } => format!("tab {tab}'s reply is lost"),
            Tab::Idle => return None,
        },
        Action::Abandon(tab) => format!("tab {tab} gives up, its request remains under way"),
        Action::Arrive(stray) => {
            format!("the server takes {}, which nobody awaits", client.strays[stray].token)
        }
        Action::Die(state) => {
            format!("the browser dies, and its jar on disk holds {}", client.on_disk[state].0)
        }
        Action::Validate => "the client's newest access token is validated".into(),
        Action::StoreProof => "that is stored: the current token is proven".into(),
        Action::LoseProof => "that is lost".into(),
        Action::Steal => format!("a thief copies {}", client.jar),
        Action::Present { token, heard } => {
            let lost = if heard { "" } else { " (and loses the reply)" };
            format!("the thief presents {}{lost}", system.thief.tokens[token])
        }
        Action::ThiefValidates => "the thief's newest access token is validated".into(),
        Action::LoseCommit => "the database loses its last commit".into(),
    })
}
