//! Spreads the passes of all workloads over time.

use sha2::{Digest as _, Sha256};
use std::time::Duration;
use windlass_core::WorkloadKey;

/// The share of the interval over which the passes are spread.
const SHARE: f64 = 0.1;
/// The upper limit of that time: changes during an engine outage are observed soon, even with a long interval.
const LONGEST: Duration = Duration::from_secs(2);

/// The jitter of a workload: its passes come earlier than the interval by this time, and it is woken later than the others
/// by this time when all are woken.
///
/// It is 0 to a tenth of the interval, at most 2 s, and derives from the key, so a restart does not change it. Since each
/// workload has its own period, the passes of workloads that started together drift apart.
pub(crate) fn jitter(interval: Duration, key: &WorkloadKey) -> Duration {
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
                tenths[(jitter(Duration::from_secs(interval), &key).as_secs_f64() / within * 10.0) as usize] += 1;
            }
            // Of a thousand, a hundred each; an even spread leaves this range once in a hundred thousand times.
            assert!(tenths[..10].iter().all(|count| (60..=145).contains(count)), "{interval} s: {tenths:?}");
        }
        let interval = Duration::from_secs(15);
        assert_eq!(jitter(interval, &WorkloadKey::stored("web")), jitter(interval, &WorkloadKey::stored("web")));
    }
}
