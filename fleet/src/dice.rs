//! Random draws. One seed gives one sequence, on every machine.

use std::time::Duration;

use token_authority::clock::{SeededEntropy, draw};

/// The draws of one client. Each client has its own, so that the clients do not depend on the order in
/// which they run.
#[derive(Debug)]
pub(crate) struct Dice(SeededEntropy);

impl Dice {
    /// Creates the sequence that the seed and the number of the client determine.
    pub(crate) fn new(seed: u64, client: u64) -> Self {
        let mixed = SeededEntropy::new(seed ^ client.wrapping_mul(0xD1B5_4A32_D192_ED03));
        Self(SeededEntropy::new(u64::from_le_bytes(draw(&mixed))))
    }

    /// Draws a number from 0 to 1, without 1.
    pub(crate) fn unit(&self) -> f64 {
        (u64::from_le_bytes(draw(&self.0)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Returns `true` with that probability.
    pub(crate) fn chance(&self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// Draws a number below `count`.
    pub(crate) fn below(&self, count: usize) -> usize {
        ((self.unit() * count as f64) as usize).min(count.saturating_sub(1))
    }

    /// Draws a time between two, all equally likely.
    pub(crate) fn between(&self, from: Duration, to: Duration) -> Duration {
        from + to.saturating_sub(from).mul_f64(self.unit())
    }

    /// Draws the time until the next of events that are independent of each other.
    pub(crate) fn gap(&self, mean: Duration) -> Duration {
        mean.mul_f64(-(1.0 - self.unit()).ln())
    }

    /// Draws a time that is distributed normally, at most three deviations from the mean.
    pub(crate) fn around(&self, mean: Duration, deviation: Duration) -> Duration {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        let normal = (radius * (std::f64::consts::TAU * self.unit()).cos()).clamp(-3.0, 3.0);
        if normal < 0.0 {
            mean.saturating_sub(deviation.mul_f64(-normal))
        } else {
            mean + deviation.mul_f64(normal)
        }
    }
}
