//! The documents of the commands, as the manual describes them.

use crate::commands::place::Place;
use std::collections::BTreeSet;
use windlass_builtin::MIN_MAX;
use windlass_tests::commands::documents;

#[tokio::test]
async fn each_document_has_the_fields_of_the_manual() -> anyhow::Result<()> {
    let place = Place::with_everything("documents").await?;
    place.windlass.post("/start/container", place.web("2")).await.ok();
    place.windlass.put_component("/policies/queue?candidate=true", MIN_MAX.to_vec()).await.ok();
    let documents = documents()?;
    assert!(documents.len() >= 40, "{documents:?}");
    for (command, fields) in documents {
        let words = place.words(&command).await?;
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let document = place.caller.run(&words)?.json();
        let found: BTreeSet<String> =
            document.as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect();
        let is_open = fields.contains("…");
        let missing: Vec<&String> = fields.iter().filter(|field| *field != "…" && !found.contains(*field)).collect();
        assert!(missing.is_empty() && (is_open || found.len() == fields.len()), "{command}: {missing:?} of {found:?}");
    }
    place.close().await
}
