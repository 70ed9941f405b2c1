// Package export_windlass_policy_scaling is the glue between the contract's `scaling` and the rule.
package export_windlass_policy_scaling

import (
	"wit_component/rule"
	"wit_component/windlass_policy_log"
	. "wit_component/windlass_policy_scaling"
	"wit_component/windlass_policy_types"

	types "go.bytecodealliance.org/pkg/wit/types"
)

func Decide(text string, seen Observation) types.Result[Decision, PolicyError] {
	config, err := rule.Configure(text)
	if err != nil {
		wrong := windlass_policy_types.MakePolicyErrorInvalidConfig(err.Error())
		return types.Err[Decision, PolicyError](wrong)
	}
	answer, err := rule.Decide(config, seen.Now, seen.CurrentReplicas, ofAll(seen.Metrics, config.Metric), seen.Memory)
	if err != nil {
		missing := windlass_policy_types.MakePolicyErrorInsufficientData(err.Error())
		return types.Err[Decision, PolicyError](missing)
	}
	windlass_policy_log.Write(windlass_policy_log.LevelDebug, answer.Reason)
	decision := Decision{Replicas: answer.Replicas, Reason: answer.Reason, Memory: answer.Memory}
	decision.EvaluateAfter = types.None[uint64]()
	if answer.EvaluateAfter > 0 {
		decision.EvaluateAfter = types.Some(answer.EvaluateAfter)
	}
	return types.Ok[Decision, PolicyError](decision)
}

// ofAll returns the series of the whole workload, or nil if there is none.
func ofAll(metrics []Series, name string) *rule.Series {
	for _, one := range metrics {
		if one.Name != name || one.Replica.IsSome() {
			continue
		}
		found := rule.Series{}
		if one.Failure.IsSome() {
			failure := one.Failure.Some()
			found.Failure = &failure
		}
		if len(one.Samples) > 0 {
			newest := one.Samples[len(one.Samples)-1].Value
			found.Newest = &newest
		}
		return &found
	}
	return nil
}
