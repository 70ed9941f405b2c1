//! An outage of the server that a command follows: the pauses between two attempts, and the end of the attempts.

use crate::cli::output::print_error;
use std::time::Duration;
use tokio::time::Instant;
use windlass_core::text::plain;

/// Time before the first attempt to connect again; each one after it waits twice as long.
const PAUSE: Duration = Duration::from_millis(100);

/// Longest time between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Time after which a server that cannot be reached ends the command.
const GIVE_UP: Duration = Duration::from_secs(60);

/// The outage of a server. The default value is none.
#[derive(Debug, Default)]
pub(super) struct Outage {
    /// The first failed attempt, and the latest pause. `None` while the server answers.
    begun: Option<(Instant, Duration)>,
}

impl Outage {
    /// Ends the outage, because the server answered.
    pub(super) fn end(&mut self) {
        self.begun = None;
    }

    /// Waits until the next attempt, after one that failed for this reason.
    ///
    /// # Errors
    /// The reason, if the server has not answered for a minute.
    pub(super) async fn pause(&mut self, why: &str) -> anyhow::Result<()> {
        let (since, pause) = match self.begun {
            Some((since, pause)) => (since, (pause * 2).min(LONGEST_PAUSE)),
            None => (Instant::now(), PAUSE),
        };
        self.begun = Some((since, pause));
        if since.elapsed() >= GIVE_UP {
            anyhow::bail!("{why}; gave up after {} s", GIVE_UP.as_secs());
        }
        print_error(&format!("note: {}; connecting again\n", plain(why)))?;
        tokio::time::sleep(pause).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_outage_ends_with_an_answer_or_after_a_minute() {
        let (mut outage, begin) = (Outage::default(), Instant::now());
        for _ in 0..3 {
            outage.pause("cannot reach windlass").await.expect("another attempt");
        }
        // 100, 200 and 400 ms. The timers are exact to a millisecond or so.
        assert!((700..720).contains(&begin.elapsed().as_millis()), "{:?}", begin.elapsed());
        outage.end();
        let begin = Instant::now();
        let error = loop {
            if let Err(error) = outage.pause("cannot reach windlass").await {
                break error.to_string();
            }
        };
        assert_eq!(error, "cannot reach windlass; gave up after 60 s");
        assert!((60..66).contains(&begin.elapsed().as_secs()), "{:?}", begin.elapsed());
    }
}
