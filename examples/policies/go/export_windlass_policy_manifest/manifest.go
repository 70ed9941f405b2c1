// Package export_windlass_policy_manifest is the glue between the contract's `manifest` and the rule.
package export_windlass_policy_manifest

import (
	"wit_component/rule"
	. "wit_component/windlass_policy_manifest"
	"wit_component/windlass_policy_types"

	types "go.bytecodealliance.org/pkg/wit/types"
)

func Describe() Description {
	return Description{
		Name:         "queue-depth",
		Version:      "1.0.0",
		Summary:      "Keeps a fixed number of waiting items per replica; scales in after a cool-down",
		ConfigSchema: rule.Schema,
	}
}

func Configure(text string) types.Result[Requirements, PolicyError] {
	config, err := rule.Configure(text)
	if err != nil {
		wrong := windlass_policy_types.MakePolicyErrorInvalidConfig(err.Error())
		return types.Err[Requirements, PolicyError](wrong)
	}
	metrics := []MetricRequest{{Name: config.Metric, Window: 60_000}}
	return types.Ok[Requirements, PolicyError](Requirements{Metrics: metrics})
}
