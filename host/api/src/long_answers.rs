//! The limit on long answers, each of which has a piece in memory while its client takes it.

use crate::limits::{Counted, Peer, PerPeer};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Long answers that are sent at once, and those to one peer. Each has a piece in memory.
const LONG_ANSWERS: usize = 32;
const LONG_ANSWERS_TO_PEER: usize = 16;

/// The long answers that are being sent.
pub(crate) struct LongAnswers {
    all: Arc<Semaphore>,
    of_peer: Arc<PerPeer>,
}

impl Default for LongAnswers {
    fn default() -> Self {
        Self { all: Arc::new(Semaphore::new(LONG_ANSWERS)), of_peer: PerPeer::new(LONG_ANSWERS_TO_PEER) }
    }
}

impl LongAnswers {
    /// Begins an answer. `None` if too many are being sent.
    pub(crate) fn begin(&self, peer: Peer) -> Option<LongAnswer> {
        let of_peer = self.of_peer.begin(peer)?;
        let of_all = Arc::clone(&self.all).try_acquire_owned().ok()?;
        Some(LongAnswer { _of_peer: of_peer, _of_all: of_all })
    }
}

/// The permit of one long answer, an argument of its handler.
pub(crate) struct LongAnswer {
    _of_peer: Counted,
    _of_all: OwnedSemaphorePermit,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    #[test]
    fn a_peer_and_all_together_have_a_limit() {
        let all = LongAnswers::default();
        let to = |last: u8| all.begin(Peer::of(IpAddr::from([10, 0, 0, last])));
        let mut sent: Vec<LongAnswer> = (0..LONG_ANSWERS_TO_PEER).filter_map(|_| to(1)).collect();
        assert_eq!(sent.len(), LONG_ANSWERS_TO_PEER);
        assert!(to(1).is_none(), "the peer has its share");
        sent.extend((0..LONG_ANSWERS_TO_PEER).filter_map(|_| to(2)));
        assert_eq!(sent.len(), LONG_ANSWERS);
        assert!(to(3).is_none(), "all places are taken");
        drop(sent.pop());
        assert!(to(3).is_some(), "an answer that was sent makes room");
    }
}
