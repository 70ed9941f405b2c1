"""The glue between the contract in `wit/` and the rule in `rule.py`."""

import rule
from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.manifest import Description, MetricRequest, Requirements
from wit_world.exports.scaling import Decision, Observation
from wit_world.imports import log
from wit_world.imports.types import PolicyError_InsufficientData, PolicyError_InvalidConfig


def configured(text: str) -> rule.Config:
    try:
        return rule.configure(text)
    except rule.InvalidConfig as wrong:
        raise Err(PolicyError_InvalidConfig(str(wrong)))


class Manifest(exports.Manifest):
    def describe(self) -> Description:
        summary = "Keeps a fixed number of waiting items per replica; scales in after a cool-down"
        return Description("queue-depth", "1.0.0", summary, rule.SCHEMA)

    def configure(self, config: str) -> Requirements:
        return Requirements([MetricRequest(configured(config).metric, 60_000)])


class Scaling(exports.Scaling):
    def decide(self, config: str, observation: Observation) -> Decision:
        parsed = configured(config)
        of_all = (one for one in observation.metrics if one.name == parsed.metric and one.replica is None)
        found = next(of_all, None)
        series = None
        if found is not None:
            series = rule.Series(found.samples[-1].value if found.samples else None, found.failure)
        current, memory = observation.current_replicas, bytes(observation.memory)
        try:
            answer = rule.decide(parsed, observation.now, current, series, memory)
        except rule.MissingData as problem:
            raise Err(PolicyError_InsufficientData(str(problem)))
        log.write(log.Level.DEBUG, answer.reason)
        return Decision(answer.replicas, answer.reason, answer.memory, answer.evaluate_after)
