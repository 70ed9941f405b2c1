//! When the loop looks at each workload by itself: not at all of them in the same moment.

use sha2::{Digest as _, Sha256};
use std::time::Duration;
use windlass_core::WorkloadKey;

/// The share of the interval over which workloads are spread.
const SHARE: f64 = 0.1;
/// The most time over which they are: what changed while the engine was away is seen soon, however long the interval.
const LONGEST: Duration = Duration::from_secs(2);

/// How much earlier than the interval a workload is looked at, and how long after the others when all of them are to be:
/// 0 to a tenth of the interval, at most 2 seconds. By its key, hence the same after each restart; since each workload then has an interval
/// of its own, those that began together drift apart.
pub(crate) fn splay(interval: Duration, key: &WorkloadKey) -> Duration {
    let digest = Sha256::digest(key.as_str());
    let number = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]);
    interval.mul_f64(SHARE).min(LONGEST).mul_f64(f64::from(number) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workloads_are_spread_evenly_over_a_tenth_of_the_interval() {
        for (interval, within) in [(15, 1.5), (3_600, 2.0)] {
            let mut tenths = [0; 11];
            for number in 0..1_000 {
                let key = WorkloadKey::stored(format!("registry.example/shop/service-{number}"));
                tenths[(splay(Duration::from_secs(interval), &key).as_secs_f64() / within * 10.0) as usize] += 1;
            }
            // Of a thousand, a hundred each; an even spread leaves this range once in a hundred thousand times.
            assert!(tenths[..10].iter().all(|count| (60..=145).contains(count)), "{interval} s: {tenths:?}");
        }
        let interval = Duration::from_secs(15);
        assert_eq!(splay(interval, &WorkloadKey::stored("web")), splay(interval, &WorkloadKey::stored("web")));
    }
}
