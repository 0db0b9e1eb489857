//! Searches all possible runs breadth first, so the first violation found is one of the shortest.
//!
//! A state is identified by its [`Model::view`]. The number of views is finite, so a search that
//! ends without a violation covers runs of any length. For each known state, only the step that led
//! to it is stored. A run is reproduced by taking its steps again.

use std::collections::hash_map::{DefaultHasher, Entry, HashMap};
use std::collections::{BTreeSet, HashSet, VecDeque};
use std::hash::{Hash, Hasher as _};

/// A model to search: its first state, the possible steps from each state, and what they violate.
pub(crate) trait Model {
    type State: Clone;
    type Action: Copy;
    type Violation: Copy + Hash;
    /// The answer to a step.
    type Verdict: Copy + Eq + Hash;

    fn first(&self) -> Self::State;
    fn actions(&self, state: &Self::State) -> Vec<Self::Action>;
    fn step(
        &self,
        state: &Self::State,
        action: Self::Action,
    ) -> Result<Self::State, Self::Violation>;
    /// Identifies a state. Two states with one view must have the same futures, up to their views.
    fn view(&self, state: &Self::State) -> Box<[u8]>;
    /// Returns the verdict of the last step.
    fn verdict(&self, state: &Self::State) -> Option<Self::Verdict>;
}

/// The result of a search.
pub(crate) struct Found<M: Model> {
    pub(crate) states: usize,
    pub(crate) steps: usize,
    /// Every verdict that occurred.
    pub(crate) verdicts: HashSet<M::Verdict>,
    pub(crate) violation: Option<Run<M>>,
}

/// The steps that lead to a violation.
pub(crate) struct Run<M: Model> {
    pub(crate) actions: Vec<M::Action>,
    pub(crate) violation: M::Violation,
}

/// Searches a scenario completely, or until its first violation.
pub(crate) fn search<M: Model>(scenario: &M) -> Found<M> {
    let mut search = Search::new(scenario);
    let violation = search.run(scenario, |_, _| {});
    let Search { reached, steps, verdicts, .. } = search;
    Found { states: reached.len(), steps, verdicts, violation }
}

/// Searches a scenario and checks that its view loses nothing: two states with one view must have
/// the same steps to states with the same views, and the same violations. Compares every `sample`th
/// pair, and returns how many pairs were compared.
pub(crate) fn check_view<M: Model>(scenario: &M, sample: usize) -> usize {
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

fn future<M: Model>(scenario: &M, state: &M::State) -> BTreeSet<u64> {
    let after = |action| {
        let mut hasher = DefaultHasher::new();
        scenario.step(state, action).map(|next| scenario.view(&next)).hash(&mut hasher);
        hasher.finish()
    };
    scenario.actions(state).into_iter().map(after).collect()
}

enum Seen<'a, S> {
    Known(&'a S),
    Expanded(&'a S),
}

/// The state and the step from which a state was first reached.
struct Reached<A> {
    from: usize,
    by: Option<A>,
}

struct Search<M: Model> {
    known: HashMap<Box<[u8]>, usize>,
    reached: Vec<Reached<M::Action>>,
    queue: VecDeque<(usize, M::State)>,
    steps: usize,
    verdicts: HashSet<M::Verdict>,
}

impl<M: Model> Search<M> {
    fn new(scenario: &M) -> Self {
        let first = scenario.first();
        Self {
            known: HashMap::from([(scenario.view(&first), 0)]),
            reached: vec![Reached { from: 0, by: None }],
            queue: VecDeque::from([(0, first)]),
            steps: 0,
            verdicts: HashSet::new(),
        }
    }

    fn run(
        &mut self,
        scenario: &M,
        mut observe: impl FnMut(usize, Seen<'_, M::State>),
    ) -> Option<Run<M>> {
        while let Some((from, system)) = self.queue.pop_front() {
            observe(from, Seen::Expanded(&system));
            for action in scenario.actions(&system) {
                self.steps += 1;
                let next = match scenario.step(&system, action) {
                    Ok(next) => next,
                    Err(violation) => {
                        return Some(Run { actions: self.path(from, action), violation });
                    }
                };
                self.verdicts.extend(scenario.verdict(&next));
                match self.known.entry(scenario.view(&next)) {
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

    fn path(&self, mut index: usize, last: M::Action) -> Vec<M::Action> {
        let mut actions = vec![last];
        while let Some(action) = self.reached[index].by {
            actions.push(action);
            index = self.reached[index].from;
        }
        actions.reverse();
        actions
    }
}
