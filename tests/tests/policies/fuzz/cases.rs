//! The cases of a target by number: first its seeds, then damaged copies of them.

use crate::fuzz::damage::{Damage, damage};
use crate::fuzz::seeds::{corpus, files};
use crate::fuzz::target::Target;
use proptest::strategy::{BoxedStrategy, Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// The cases of a target. The same seed makes the same cases.
pub(crate) struct Cases {
    seeds: Vec<Vec<u8>>,
    words: &'static [&'static str],
    strategy: BoxedStrategy<Damage>,
    seed: u64,
}

impl Cases {
    /// The cases of a target.
    pub(crate) fn of(target: &Target, seed: u64) -> Self {
        let mut seeds = (target.seeds)();
        seeds.extend(files(&corpus(target.name)));
        assert!(!seeds.is_empty(), "`{}` has no seeds", target.name);
        Self { seeds, words: target.words, strategy: damage(), seed }
    }

    /// The number of seeds, which are the first cases.
    pub(crate) fn seeds(&self) -> u64 {
        self.seeds.len() as u64
    }

    /// The input of a case.
    pub(crate) fn input(&self, number: u64) -> Vec<u8> {
        let whole = usize::try_from(number).ok().and_then(|number| self.seeds.get(number));
        whole.cloned().unwrap_or_else(|| self.damaged(&self.damage(number)))
    }

    /// The damage of a case after the seeds.
    pub(crate) fn damage(&self, number: u64) -> Damage {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&self.seed.to_le_bytes());
        bytes[8..16].copy_from_slice(&number.to_le_bytes());
        let random = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let mut runner = TestRunner::new_with_rng(Config::default(), random);
        self.strategy.new_tree(&mut runner).expect("no damage is rejected").current()
    }

    /// A damaged copy.
    pub(crate) fn damaged(&self, damage: &Damage) -> Vec<u8> {
        damage.apply(&self.seeds, self.words)
    }
}
