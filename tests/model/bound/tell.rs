//! Describes a run in words.

use super::scenario::{Action, Scenario, Violation};
use super::state::{State, Tab};
use crate::search::Model as _;
use crate::tell::time;

/// Describes a run from the login on, with one line for each step. `K1` is the key of the first
/// registration that a browser or a thief begins, and `R0` is the login's refresh token.
pub(crate) fn tell(scenario: &Scenario, actions: &[Action], violation: Violation) -> String {
    let mut told = Vec::new();
    let mut state = scenario.first();
    for action in actions {
        let (now, line) = (time(state.now), line(&state, *action));
        let bound = state.device.map(|device| device.key);
        let _ = state.take(scenario, *action);
        let Some(line) = line else { continue };
        let verdict = match &state.judged {
            None => String::new(),
            Some((judged, None)) => format!(": {judged}"),
            Some((judged, Some(token))) => format!(": {judged}, {token}"),
        };
        let change = match (bound, state.device.map(|device| device.key)) {
            (before, after) if before == after => String::new(),
            (_, Some(key)) => format!(", bound to K{key}"),
            (_, None) if state.session.revoked.is_some() => String::new(),
            (Some(key), None) => format!(", no longer bound to K{key}"),
            (None, None) => String::new(),
        };
        told.push(format!("{now:>5}  {line}{verdict}{change}\n"));
    }
    format!("{}   =>  {violation}\n", told.concat())
}

fn line(state: &State, action: Action) -> Option<String> {
    let browser = &state.browser;
    let with = |key: Option<u8>| key.map_or(String::new(), |key| format!(" with K{key}'s cookie"));
    Some(match action {
        Action::Tick | Action::Sleep | Action::LoseCopy => return None,
        Action::Send(tab) => {
            format!("tab {tab} sends {}{}", browser.jar, with(browser.cookie))
        }
        Action::Decide { tab, before, expired, copied } => {
            let Tab::Asked { token, .. } = &browser.tabs[tab] else { return None };
            let stamp = if before == 0 { "" } else { ", stamped earlier" };
            let expired = if expired { ", its bound cookie has expired" } else { "" };
            let copied = if copied { ", and a copy remains under way" } else { "" };
            format!("the server takes {token} from tab {tab}{stamp}{expired}{copied}")
        }
        Action::Land(tab) => {
            let Tab::Answered { answer, .. } = &browser.tabs[tab] else { return None };
            let jar = if answer.sets_cookie { &answer.token } else { &browser.jar };
            let offers = if answer.offers { ", and a registration begins" } else { "" };
            format!("tab {tab}'s reply lands, the jar holds {jar}{offers}")
        }
        Action::Lose(tab) => format!("tab {tab}'s request or reply is lost"),
        Action::Arrive => {
            let copy = browser.copy.as_ref()?;
            format!("the server takes {}, which nobody awaits", copy.token)
        }
        Action::Register { which, again } => {
            let asked = &browser.registrations[which];
            let again = if again { ", whose answer is lost" } else { "" };
            format!("the browser registers K{} with {}{again}", asked.key, asked.presented)
        }
        Action::Bind(which) => {
            let asked = &browser.registrations[which];
            let accepted = if asked.accepted == Some(true) { "accepted" } else { "refused" };
            format!("the browser learns that K{} is {accepted}", asked.key)
        }
        Action::LoseRegistration(which) => {
            format!("the registration of K{} is lost", browser.registrations[which].key)
        }
        Action::Renew => "the browser renews its bound cookie".into(),
        Action::Expire => "the bound cookie expires".into(),
        Action::Die { jar, keeps_key } => {
            let jar = jar.map_or(&browser.jar, |jar| &browser.on_disk[jar].0);
            let key = if keeps_key { "" } else { ", without its key" };
            format!("the browser dies, and comes back with {jar}{key}")
        }
        Action::LoseKey => "the device loses its key".into(),
        Action::Validate => "an access token proves the receipt of the current token".into(),
        Action::Steal => format!("a thief copies {}{}", browser.jar, with(browser.cookie)),
        Action::Present { token, shows } => {
            let shown = state.thief.cookie.filter(|_| shows);
            format!("the thief presents {}{}", state.thief.tokens[token].0, with(shown))
        }
        Action::ThiefRegisters(token) => {
            let key = state.keys.wrapping_add(1);
            format!("the thief registers K{key} with {}", state.thief.tokens[token].0)
        }
        Action::ThiefExpires => "the copied bound cookie expires".into(),
    })
}
