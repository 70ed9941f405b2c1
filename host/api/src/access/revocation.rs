//! Revocation: a caller whose token or session has ended loses the streams that are open to it.

use crate::access::admit::Access;
use crate::access::caller::Caller;
use crate::error::Problem;
use std::sync::Arc;
use std::time::Duration;
use windlass_core::access::TokenRecord;

/// Time between two checks for a token that expired or a session that was idle: neither sends a signal.
const CHECK_INTERVAL: Duration = Duration::from_secs(15);

impl Access {
    /// Waits until a caller has no rights any more: its token is revoked or has expired, or its session has ended.
    pub(crate) async fn ended(self: Arc<Self>, caller: Caller) {
        if caller.token.is_none() && caller.csrf.is_none() {
            return std::future::pending().await;
        }
        loop {
            // It begins to listen before the check, so that no signal after the check is lost.
            let changed = self.changed.notified();
            let now = self.now();
            let has_token = caller.token.as_ref().is_none_or(|id| self.tokens.is_valid(id, now));
            let has_session = caller.csrf.as_ref().is_none_or(|csrf| self.sessions.is_running(csrf, now));
            if !(has_token && has_session) {
                return;
            }
            // Checks again after a signal or after the interval.
            let _ = tokio::time::timeout(CHECK_INTERVAL, changed).await;
        }
    }

    /// Revokes a token. Its sessions end, and the streams that are open to its owner.
    ///
    /// # Errors
    /// 404 if there is none, or the problem of the store.
    pub(crate) async fn revoke(&self, id: &str) -> Result<TokenRecord, Problem> {
        let revoked = self.tokens.revoke(id).await;
        self.changed.notify_waiters();
        revoked
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::sessions::Principal;
    use tokio::time::Instant;
    use windlass_core::Timestamp;
    use windlass_core::access::Role;
    use windlass_core::settings::ApiSettings;

    #[tokio::test(start_paused = true)]
    async fn the_rights_of_an_idle_session_end_with_it() {
        const IDLE: Duration = Duration::from_secs(30 * 60);
        let begun = Instant::now();
        let now = move || Timestamp(1_767_225_600_000).plus(begun.elapsed());
        let access = Arc::new(Access::new(Arc::new(ApiSettings::default()), Role::Admin, now));
        let login = access.sessions.begin(Principal::Configured, false, access.now()).expect("random bytes");
        let caller = Caller { csrf: Some(login.csrf), ..Caller::new("somebody", Role::Viewer) };
        access.ended(caller).await;
        let lasted = begun.elapsed();
        assert!(lasted >= IDLE && lasted <= IDLE + CHECK_INTERVAL, "{lasted:?}");
    }
}
