//! One search: lists the declared services, and applies their labels.

use crate::adoption::apply::{Admission, admit, forget, has_lost_its_label, suspend};
use crate::adoption::desired::{Sorted, sort};
use crate::adoption::refused::RefusedService;
use crate::context::Context;
use futures_util::{StreamExt, stream};
use std::collections::BTreeMap;
use std::sync::Arc;
use windlass_core::{Declaration, Workload, WorkloadKey};

/// Services whose labels are applied at once. Each may cost a call of the engine and of a policy.
const AT_ONCE: usize = 8;

/// Searches once. If the engine does not list its services, everything stays as it is.
pub(crate) async fn search(context: &Arc<Context>) {
    let services = match context.engine.declared().await {
        Ok(services) => services,
        Err(error) => {
            context.engine_health.note(Some(&error));
            tracing::warn!(%error, "cannot list the services with labels");
            return;
        }
    };
    let handles = context.workloads.all();
    let known: BTreeMap<WorkloadKey, Declaration> =
        handles.iter().map(|handle| (handle.key.clone(), handle.state().workload.declaration.clone())).collect();
    let Sorted { wanted, mut refused, unlabelled } = sort(&services, &known, &context.settings.profiles);

    let there: BTreeMap<WorkloadKey, Declaration> =
        wanted.iter().map(|workload| (workload.key.clone(), workload.declaration.clone())).collect();
    let admissions = stream::iter(wanted).map(|workload: Workload| async {
        let key = workload.key.clone();
        (key, admit(context, workload).await)
    });
    let admissions: Vec<(WorkloadKey, Admission)> = admissions.buffer_unordered(AT_ONCE).collect().await;
    for (key, admission) in admissions {
        if let Admission::Refused(reason) = admission {
            refused.push(RefusedService { declaration: there[&key].clone(), key, reason });
        }
    }
    // A workload that was adopted just now is not among these.
    for handle in handles {
        let (key, declaration) = (&handle.key, &known[&handle.key]);
        if !declaration.is_adopted() || handle.is_closed() {
            continue;
        }
        let refusal = refused.iter().find(|service| service.key == *key && service.declaration == *declaration);
        if let Some(RefusedService { reason, .. }) = refusal {
            suspend(context, &handle, &format!("{declaration} is left alone: {reason}")).await;
        } else if unlabelled.contains(declaration) {
            forget(context, &handle, "its service has no label `windlass.enable=true` any more").await;
        } else if !there.contains_key(key) {
            match has_lost_its_label(context, &handle).await {
                Ok(true) => forget(context, &handle, "its service has no labels any more").await,
                Ok(false) => suspend(context, &handle, &format!("{declaration} is not there")).await,
                Err(error) => tracing::warn!(workload = %key, %error, "cannot tell whether the service is there"),
            }
        }
    }
    context.adoption.set_refused(refused);
}
