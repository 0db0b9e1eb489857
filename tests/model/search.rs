//! Searches all possible runs breadth first, so the first violation found is one of the shortest.
//!
//! A state is identified by its [`System::view`]. The number of views is finite, so a search that
//! ends without a violation covers runs of any length. For each known state, only the step that led
//! to it is stored. A run is reproduced by taking its steps again.

use std::collections::hash_map::{DefaultHasher, Entry, HashMap};
use std::collections::{BTreeSet, HashSet, VecDeque};
use std::hash::{Hash as _, Hasher as _};

use token_authority::token::rotation::Verdict;

use crate::scenario::{Action, Scenario, Violation};
use crate::system::System;
use crate::tell::tell;

/// The result of a search.
pub(crate) struct Found {
    pub(crate) states: usize,
    pub(crate) steps: usize,
    /// Every verdict that occurred.
    pub(crate) verdicts: HashSet<Verdict>,
    pub(crate) violation: Option<Run>,
}

/// The steps that lead to a violation.
pub(crate) struct Run {
    pub(crate) actions: Vec<Action>,
    pub(crate) violation: Violation,
}

impl Run {
    /// Describes the run in words.
    pub(crate) fn tell(&self, scenario: &Scenario) -> String {
        tell(scenario, &self.actions, self.violation)
    }
}

/// Searches a scenario completely, or until its first violation.
pub(crate) fn search(scenario: &Scenario) -> Found {
    let mut search = Search::new(scenario);
    let violation = search.run(scenario, |_, _| {});
    let Search { reached, steps, verdicts, .. } = search;
    Found { states: reached.len(), steps, verdicts, violation }
}

/// Searches a scenario and checks that its view loses nothing: two states with one view must have
/// the same steps to states with the same views, and the same violations. Compares every `sample`th
/// pair, and returns how many pairs were compared.
pub(crate) fn check_view(scenario: &Scenario, sample: usize) -> usize {
    let mut search = Search::new(scenario);
    let mut futures = HashMap::new();
    let mut again = Vec::new();
    let mut seen = 0;
    let violation = search.run(scenario, |index, seen_as| match seen_as {
        Seen::Known(system) => {
            seen += 1;
            if seen % sample == 0 {
                again.push((index, system.clone()));
            }
        }
        Seen::Expanded(system) => {
            futures.insert(index, future(scenario, system));
        }
    });
    assert!(violation.is_none(), "the search was not exhaustive");
    for (index, system) in &again {
        assert_eq!(futures.get(index), Some(&future(scenario, system)), "the view loses something");
    }
    again.len()
}

fn future(scenario: &Scenario, system: &System) -> BTreeSet<u64> {
    let after = |action| {
        let mut hasher = DefaultHasher::new();
        system.step(scenario, action).map(|next| next.view(scenario)).hash(&mut hasher);
        hasher.finish()
    };
    system.actions(scenario).into_iter().map(after).collect()
}

enum Seen<'a> {
    Known(&'a System),
    Expanded(&'a System),
}

/// The state and the step from which a state was first reached.
struct Reached {
    from: usize,
    by: Option<Action>,
}

struct Search {
    known: HashMap<Box<[u8]>, usize>,
    reached: Vec<Reached>,
    queue: VecDeque<(usize, System)>,
    steps: usize,
    verdicts: HashSet<Verdict>,
}

impl Search {
    fn new(scenario: &Scenario) -> Self {
        let first = System::new(scenario);
        Self {
            known: HashMap::from([(first.view(scenario), 0)]),
            reached: vec![Reached { from: 0, by: None }],
            queue: VecDeque::from([(0, first)]),
            steps: 0,
            verdicts: HashSet::new(),
        }
    }

    fn run(
        &mut self,
        scenario: &Scenario,
        mut observe: impl FnMut(usize, Seen<'_>),
    ) -> Option<Run> {
        while let Some((from, system)) = self.queue.pop_front() {
            observe(from, Seen::Expanded(&system));
            for action in system.actions(scenario) {
                self.steps += 1;
                let next = match system.step(scenario, action) {
                    Ok(next) => next,
                    Err(violation) => {
                        return Some(Run { actions: self.path(from, action), violation });
                    }
                };
                self.verdicts.extend(next.verdict.iter().map(|(verdict, _)| *verdict));
                match self.known.entry(next.view(scenario)) {
                    Entry::Occupied(known) => observe(*known.get(), Seen::Known(&next)),
                    Entry::Vacant(unknown) => {
                        unknown.insert(self.reached.len());
                        self.queue.push_back((self.reached.len(), next));
                        self.reached.push(Reached { from, by: Some(action) });
                    }
                }
            }
        }
        None
    }

    fn path(&self, mut index: usize, last: Action) -> Vec<Action> {
        let mut actions = vec![last];
        while let Some(action) = self.reached[index].by {
            actions.push(action);
            index = self.reached[index].from;
        }
        actions.reverse();
        actions
    }
}
