//! The commands of scenarios about a Swarm: nodes, what people do to services, and an operator's overrides.

use super::{Story, duration};
use anyhow::{Context as _, bail};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use windlass_core::contract::{ScalingDecision, ScalingObservation};
use windlass_core::engine::{CountEngine, EngineError};
use windlass_core::policy::{Policies, PolicySource, ScalingPolicy};
use windlass_core::{
    Force, Overrides, PolicyChoice, PolicyChoices, PolicyFailure, PolicyIdentity, ServiceUpdate, Timestamp, WorkloadKey,
};
use windlass_simulated_engine::{CountCall, Deploy, FailureAction, SimulatedSwarm, Template};
use windlass_tests::policies::{observation, policies_of, registry};

/// Proposed counts by workload.
pub(super) type Proposals = Arc<Mutex<HashMap<WorkloadKey, u32>>>;

/// The policies of a scenario: the chosen ones, else the default ones, with the scenario's proposals.
pub(super) struct ScenarioPolicies {
    pub(super) plain: Policies,
    pub(super) proposals: Proposals,
}

impl PolicySource for ScenarioPolicies {
    fn of(&self, workload: &WorkloadKey, choices: &PolicyChoices, now: Timestamp) -> Policies {
        let mut policies =
            if choices.scaling.is_empty() { self.plain.clone() } else { registry().of(workload, choices, now) };
        if let Some(replicas) = self.proposals.lock().expect("no holder panics").get(workload).copied() {
            policies.scaling = Arc::new(Proposing { identity: policies.scaling.identity().clone(), replicas });
        }
        policies
    }
}

/// A scaling policy that always proposes the same count.
struct Proposing {
    identity: PolicyIdentity,
    replicas: u32,
}

#[async_trait::async_trait]
impl ScalingPolicy for Proposing {
    fn identity(&self) -> &PolicyIdentity {
        &self.identity
    }
    async fn decide(&self, _: &str, observation: &ScalingObservation) -> Result<ScalingDecision, PolicyFailure> {
        Ok(ScalingDecision {
            replicas: self.replicas,
            reason: "the scenario proposes it".to_owned(),
            memory: observation.memory.clone(),
            evaluate_after: None,
            parts: Vec::new(),
        })
    }
}

/// The policy that keeps the CPU use of the replicas at a share of their limit.
pub(super) fn tracks_cpu(target: &str) -> PolicyChoice {
    let config = format!(r#"{{"metrics": [{{"name": "cpu-utilization", "target": {target}}}]}}"#);
    PolicyChoice { name: "target-tracking".to_owned(), config }
}

/// Calls the policy of [`tracks_cpu`] once, so that it is compiled.
pub(super) async fn load_tracking() -> anyhow::Result<()> {
    let choices = PolicyChoices { scaling: vec![tracks_cpu("0.5")], ..PolicyChoices::default() };
    let policies = policies_of(&registry(), &choices);
    // Without metrics it has no answer; it is compiled all the same.
    let _ = policies.scaling.decide(&policies.scaling_config, &observation()).await;
    Ok(())
}

impl Story {
    /// Carries out a command about a Swarm. Returns whether it is one.
    pub(super) async fn tell_of_swarm(&mut self, words: &[&str]) -> anyhow::Result<bool> {
        let key = |name: &str| WorkloadKey::stored(name);
        if let ["swarm", nodes @ ..] = words {
            let clock = self.clock;
            let swarm = SimulatedSwarm::new(move || clock.now(), Duration::from_millis(500));
            for node in nodes {
                // `NAME=ROOM` or `NAME=ROOM:LABEL`.
                let (name, room) = node.split_once('=').context("a node is written `NAME=ROOM`")?;
                let (room, label) = room.split_once(':').map_or((room, None), |(room, label)| (room, Some(label)));
                swarm.add_node(name, room.parse()?, &label.into_iter().collect::<Vec<_>>());
            }
            self.swarm = Some(swarm);
            self.restart().await?;
            return Ok(true);
        }
        let Some(swarm) = self.swarm.clone() else { return Ok(false) };
        match words {
            ["propose", name, count] => {
                self.proposals.lock().expect("no holder panics").insert(key(name), count.parse()?);
                let pass = self.controller.reconcile(&key(name)).await;
                self.say_pass(pass)?;
            }
            ["pause", name] => self.override_with(name, |overrides| overrides.paused = true).await?,
            ["freeze", name, "up"] => self.override_with(name, |overrides| overrides.freeze_scale_up = true).await?,
            ["freeze", name, "down"] => self.override_with(name, |it| it.freeze_scale_down = true).await?,
            ["force", name, count, length] => {
                let (replicas, until) = (count.parse()?, self.clock.now().plus(duration(length)?));
                self.override_with(name, |overrides| overrides.force = Some(Force { replicas, until })).await?;
            }
            ["protect", replica] => {
                let name = self.replica(replica)?.name;
                let protected = self.controller.protect(&name, true).await;
                self.say(protected.map(|replica| format!("protected {}", replica.name)))?;
            }
            ["service-update", name, version, rest @ ..] => {
                let word = |name: &str| rest.iter().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
                let template = Template {
                    version: (*version).to_owned(),
                    constraint: word("on").map(str::to_owned),
                    crash_after: word("crash").map(duration).transpose()?,
                };
                let count = word("count").map(str::parse).transpose()?;
                swarm.redeploy(&key(name), Deploy { template, count });
            }
            ["service-create", name, version, count] => {
                let template = Template { version: (*version).to_owned(), ..Template::default() };
                swarm.create_outside(&key(name), name.parse()?, Deploy { template, count: Some(count.parse()?) });
            }
            ["label", name, rest @ ..] => {
                let labels = rest.iter().filter_map(|word| word.split_once('='));
                let labels = labels.map(|(name, value)| (format!("windlass.{name}"), value.to_owned())).collect();
                swarm.set_labels(&key(name), labels);
            }
            ["refused"] => {
                for service in self.controller.refused_services() {
                    writeln!(self.text, "{}: {}", service.key, service.reason)?;
                }
            }
            ["leader", leader] => swarm.set_leader(Some(*leader).filter(|leader| *leader != "-")),
            ["service-scale", name, count] => swarm.scale_outside(&key(name), count.parse()?),
            ["service-rollback", name] => swarm.roll_back_outside(&key(name)),
            ["failure-action", name, action] => {
                let action = match *action {
                    "pause" => FailureAction::Pause,
                    "rollback" => FailureAction::Rollback,
                    "continue" => FailureAction::Continue,
                    other => bail!("`{other}`: expected pause, rollback or continue"),
                };
                swarm.set_failure_action(&key(name), action);
            }
            ["earlier", name] => {
                let workload = self.controller.view(&key(name)).context("a workload")?.workload;
                match swarm.roll_back(&workload).await {
                    Ok(()) => writeln!(self.text, "  = rolled back")?,
                    Err(error) => writeln!(self.text, "  ! {error}")?,
                }
            }
            ["node", name, "dies"] => swarm.kill_node(name),
            ["node", name, "returns"] => swarm.revive_node(name),
            ["node", name, "room", room] => swarm.set_room(name, room.parse()?),
            ["load", name, cores] => swarm.set_load(&key(name), cores.parse()?),
            ["shared-load", name, cores] => swarm.set_shared_load(&key(name), cores.parse()?),
            ["fail", replica] => swarm.fail_task(&self.replica(replica)?.id),
            ["engine", "down"] => swarm.set_down(Some("connection refused")),
            ["engine", "up"] => swarm.set_down(None),
            ["engine", "refuses", call, times, why @ ..] => {
                let call = match *call {
                    "list" => CountCall::List,
                    "service" => CountCall::Service,
                    "set-count" => CountCall::SetCount,
                    "deploy" => CountCall::Deploy,
                    "rollback" => CountCall::RollBack,
                    "remove" => CountCall::RemoveService,
                    other => bail!("`{other}` is not a call"),
                };
                let error = match why {
                    ["stale"] => EngineError::Stale("update out of sequence".to_owned()),
                    why => EngineError::Refused(why.join(" ")),
                };
                swarm.fail(call, std::iter::repeat_n(error, times.parse()?));
            }
            ["calls", "set-count"] => writeln!(self.text, "  {} calls", swarm.calls(CountCall::SetCount))?,
            ["commands", name] => {
                let slots: Vec<String> = swarm.commands(&key(name)).iter().map(ToString::to_string).collect();
                writeln!(self.text, "  in the slots {}", slots.join(", "))?;
            }
            ["service", name] => self.show_service(&swarm, &key(name))?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    async fn override_with(&mut self, name: &str, change: impl FnOnce(&mut Overrides)) -> anyhow::Result<()> {
        let pass = self.controller.override_policy(&WorkloadKey::stored(name), false, change).await;
        self.say_pass(pass)
    }

    /// The service as the Swarm reports it, and its replicas by node.
    fn show_service(&mut self, swarm: &SimulatedSwarm, key: &WorkloadKey) -> anyhow::Result<()> {
        let Some(service) = swarm.observed(key) else {
            writeln!(self.text, "  no service `{key}`")?;
            return Ok(());
        };
        write!(self.text, "  count {}", service.count)?;
        if service.update != ServiceUpdate::None || !service.update_message.is_empty() {
            write!(self.text, ", {:?}: {}", service.update, service.update_message)?;
        }
        writeln!(self.text)?;
        let mut by_node: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for replica in swarm.replicas(key) {
            let node = swarm.node(&replica.id).unwrap_or_else(|| "no node".to_owned());
            let version = swarm.version(&replica.id).unwrap_or_default();
            // The host's own specifications have the hash of their generation.
            let version = if version.len() > 12 { "ours" } else { version.as_str() };
            by_node.entry(node).or_default().push(format!("{}={version}", replica.slot));
        }
        for (node, mut slots) in by_node {
            slots.sort();
            writeln!(self.text, "  {node}: {}", slots.join(" "))?;
        }
        if swarm.ghosts(key) > 0 {
            writeln!(self.text, "  ghosts: {}", swarm.ghosts(key))?;
        }
        Ok(())
    }
}
