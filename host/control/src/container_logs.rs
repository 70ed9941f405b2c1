//! The lines of one container of this instance.

use crate::caller::while_present;
use crate::controller::Controller;
use crate::error::ControlError;
use windlass_core::engine::LogLines;
use windlass_core::logs::LogQuery;

impl Controller {
    /// The lines that a container printed. `name_or_id`: its name, its identifier, or at least the first 12 characters of the
    /// identifier. The stream ends when Windlass shuts down.
    pub async fn logs(&self, name_or_id: &str, query: LogQuery) -> Result<LogLines, ControlError> {
        let id = self.find(name_or_id).await?.replica.id;
        let lines = while_present(self.context.engine.logs(&id, query)).await?.map_err(|error| self.refusal(error))?;
        let mut shutdown = self.context.tasks.shutdown();
        let end = async move { shutdown.begins().await };
        Ok(Box::pin(futures_util::StreamExt::take_until(lines, Box::pin(end))))
    }
}
