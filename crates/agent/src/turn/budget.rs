//! What one turn may cost: tokens as the vendor counts them, and their price.

use crate::config::Limits;
use crate::conversation::{Entry, Step};
use crate::model::Usage;

use super::TurnError;

/// Bytes that make up a token, about, where a vendor does not count and before it has.
const BYTES_PER_TOKEN: u64 = 4;
/// Room for an answer below which none is asked for.
const LEAST_ANSWER: u64 = 16;

/// What a turn has used up.
#[derive(Debug)]
pub(super) struct Budget<'a> {
    limits: &'a Limits,
    spent: Usage,
}

impl<'a> Budget<'a> {
    pub(super) fn new(limits: &'a Limits) -> Self {
        Self {
            limits,
            spent: Usage::default(),
        }
    }

    /// The longest answer that there is room for, in tokens, to a question of these entries and `tools` bytes of tools.
    pub(super) fn room(&self, entries: &[Entry], tools: usize) -> Result<u32, TurnError> {
        let question = question(entries, tools);
        let mut room = u64::from(self.limits.output_tokens);
        if self.limits.tokens > 0 {
            let used = self.spent.input + self.spent.output + question;
            room = room.min(self.limits.tokens.saturating_sub(used));
        }
        if self.limits.cost_usd > 0.0 {
            let asked = Usage {
                input: self.spent.input + question,
                output: self.spent.output,
            };
            let left = self.limits.cost_usd - self.price(asked);
            let price = self.limits.output_usd_per_million / 1e6;
            // Answers that cost nothing are bounded by what questions cost.
            room = if left <= 0.0 {
                0
            } else if price > 0.0 {
                room.min(whole(left / price))
            } else {
                room
            };
        }
        if room < LEAST_ANSWER {
            return Err(TurnError::Budget);
        }
        Ok(u32::try_from(room).unwrap_or(u32::MAX))
    }

    /// Counts a step: by what the vendor says of it, else by its size.
    pub(super) fn spend(&mut self, usage: Option<Usage>, entries: &[Entry], tools: usize, step: &Step) {
        let usage = usage.unwrap_or_else(|| Usage {
            input: question(entries, tools),
            output: tokens(step.size()),
        });
        self.spent.input += usage.input;
        self.spent.output += usage.output;
    }

    pub(super) fn spent(&self) -> Usage {
        self.spent
    }

    /// US dollars, by the configured prices.
    pub(super) fn cost(&self) -> f64 {
        self.price(self.spent)
    }

    #[expect(clippy::cast_precision_loss, reason = "no turn has 2^52 tokens")]
    fn price(&self, usage: Usage) -> f64 {
        let input = usage.input as f64 * self.limits.input_usd_per_million;
        let output = usage.output as f64 * self.limits.output_usd_per_million;
        (input + output) / 1e6
    }
}

fn question(entries: &[Entry], tools: usize) -> u64 {
    tokens(entries.iter().map(Entry::size).sum::<usize>() + tools)
}

fn tokens(bytes: usize) -> u64 {
    (bytes as u64).div_ceil(BYTES_PER_TOKEN)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "casts from f64 saturate, and a negative one is no room"
)]
fn whole(number: f64) -> u64 {
    number as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(bytes: usize) -> Vec<Entry> {
        vec![Entry::User {
            text: "x".repeat(bytes),
        }]
    }

    fn spend(budget: &mut Budget<'_>, input: u64, output: u64) {
        budget.spend(Some(Usage { input, output }), &[], 0, &Step::default());
    }

    #[test]
    fn an_answer_gets_what_is_left_of_the_tokens() {
        let limits = Limits {
            tokens: 10_000,
            output_tokens: 4_000,
            ..Limits::default()
        };
        let mut budget = Budget::new(&limits);
        assert_eq!(budget.room(&asked(400), 0).expect("room"), 4_000);
        spend(&mut budget, 5_000, 3_000);
        assert_eq!(budget.room(&asked(400), 0).expect("room"), 1_900);
        assert!(budget.room(&asked(8_000), 0).is_err());
        spend(&mut budget, 1_000, 1_000);
        assert!(matches!(budget.room(&asked(4), 0), Err(TurnError::Budget)));
    }

    #[test]
    fn an_answer_gets_what_is_left_of_the_money() {
        let limits = Limits {
            tokens: 0,
            cost_usd: 0.01,
            input_usd_per_million: 1.0,
            output_usd_per_million: 5.0,
            ..Limits::default()
        };
        let mut budget = Budget::new(&limits);
        assert_eq!(budget.room(&asked(4_000), 0).expect("room"), 1_800);
        spend(&mut budget, 4_000, 1_000);
        assert!((budget.cost() - 0.009).abs() < 1e-9);
        assert!(budget.room(&asked(4_000), 0).is_err());
    }

    #[test]
    fn what_a_vendor_does_not_count_is_estimated() {
        let limits = Limits::default();
        let mut budget = Budget::new(&limits);
        let step = Step {
            text: "x".repeat(400),
            ..Step::default()
        };
        budget.spend(None, &asked(4_000), 0, &step);
        assert_eq!(
            budget.spent(),
            Usage {
                input: 1_000,
                output: 100
            }
        );
    }
}
