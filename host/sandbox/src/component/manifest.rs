//! The calls of the interface `manifest`: describe the policy, and check a configuration.

use crate::component::call::{Called, Purpose};
use crate::component::load::blocking;
use crate::component::loaded::PolicyComponent;
use crate::contract_check::{ConfigureAnswer, ConfigureArguments};
use crate::convert::{self, wit_manifest};
use crate::schema;
use windlass_core::Timestamp;
use windlass_core::contract::{Description, MetricRequest};

impl PolicyComponent {
    pub(crate) async fn describe(&self) -> Called<Description> {
        let called = self
            .call(Purpose::Manifest, Timestamp::default(), self.randomness(&[]), async |store, instance| {
                let describe =
                    instance.get_typed_func::<(), (wit_manifest::Description,)>(&mut *store, &self.links.describe)?;
                describe.call_async(store, ()).await
            })
            .await;
        self.checked(called, |(description,)| Ok(convert::description(&description)))
    }

    /// Lets the policy check a configuration, and returns the metrics that it requests. Its clocks show `now`.
    pub async fn configure(&self, config: &str, now: Timestamp) -> Called<Vec<MetricRequest>> {
        let called = self
            .call(Purpose::Manifest, now, self.randomness(&[config.as_bytes()]), async |store, instance| {
                let configure = instance
                    .get_typed_func::<ConfigureArguments<'_>, ConfigureAnswer>(&mut *store, &self.links.configure)?;
                configure.call_async(store, (config,)).await
            })
            .await;
        self.checked(called, |(answer,)| match answer {
            Ok(requirements) => convert::metric_requests(requirements),
            Err(error) => Err(convert::refusal(&error)),
        })
    }

    /// Compares a configuration, JSON text, with the policy's schema. Returns the problems: (JSON pointer, problem).
    pub async fn schema_problems(&self, config: &str) -> Vec<(String, String)> {
        let (schema, config) = (self.description.config_schema.clone(), config.to_owned());
        let checked = blocking(move || schema::check(&schema, &config)).await;
        checked.unwrap_or_else(|error| vec![(String::new(), error.to_string())])
    }
}
