// Package rule contains the rule, without WebAssembly: plain values in, plain values out.
package rule

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
)

const Schema = `{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "additionalProperties": false,
  "required": ["target-per-replica"],
  "properties": {
    "metric": {"type": "string", "minLength": 1, "default": "queue-depth"},
    "target-per-replica": {"type": "integer", "minimum": 1, "maximum": 1000000},
    "cool-down-seconds": {"type": "integer", "minimum": 0, "maximum": 86400, "default": 300}
  }
}`

// The version of the memory's format, which is its first byte.
const memoryVersion = 1

// The highest count that the policy proposes.
const maxReplicas = 1_000_000

type Config struct {
	Metric     string
	target     uint64
	coolDownMs uint64
}

// Series is a metric of the whole workload.
type Series struct {
	Newest  *float64
	Failure *string
}

type Answer struct {
	Replicas uint32
	Reason   string
	Memory   []byte
	// EvaluateAfter is in milliseconds. 0: the usual interval.
	EvaluateAfter uint64
}

// Configure parses a configuration. The error names the invalid field.
func Configure(text string) (Config, error) {
	var object map[string]any
	if err := json.Unmarshal([]byte(text), &object); err != nil || object == nil {
		return Config{}, fmt.Errorf("the configuration is not a JSON object")
	}
	metric := "queue-depth"
	if value, found := object["metric"]; found {
		text, isText := value.(string)
		if !isText {
			return Config{}, fmt.Errorf("`metric` must be a string")
		}
		metric = text
	}
	whole := func(name string, least, most, otherwise float64) (uint64, error) {
		number := otherwise
		if value, found := object[name]; found {
			// 300, 300.0 and 3e2 are the same number. A value that is not a number becomes -1, which is outside every range.
			if float, isNumber := value.(float64); isNumber {
				number = float
			} else {
				number = -1
			}
		}
		if number != math.Trunc(number) || number < least || number > most {
			return 0, fmt.Errorf("`%s` must be a whole number from %.0f to %.0f", name, least, most)
		}
		return uint64(number), nil
	}
	target, err := whole("target-per-replica", 1, 1_000_000, -1)
	if err != nil {
		return Config{}, err
	}
	coolDown, err := whole("cool-down-seconds", 0, 86_400, 300)
	return Config{Metric: metric, target: target, coolDownMs: coolDown * 1_000}, err
}

// Decide proposes a count. The error names what is missing.
func Decide(config Config, now uint64, current uint32, series *Series, memory []byte) (Answer, error) {
	problem := func(what string) (Answer, error) {
		return Answer{}, fmt.Errorf("the metric `%s` %s", config.Metric, what)
	}
	switch {
	case series == nil:
		return problem("is missing")
	case series.Failure != nil:
		return problem("is unavailable: " + *series.Failure)
	case series.Newest == nil:
		return problem("has no sample yet")
	case math.IsNaN(*series.Newest) || math.IsInf(*series.Newest, 0) || *series.Newest < 0:
		return problem("is not a finite number of 0 or more")
	}
	waiting := uint64(math.Min(*series.Newest, 1e15))
	needed := uint32(min((waiting+config.target-1)/config.target, maxReplicas))
	reason := fmt.Sprintf("%d waiting, %d per replica: the count should be %d", waiting, config.target, needed)
	if needed >= current {
		return Answer{Replicas: needed, Reason: reason}, nil
	}
	since, known := coolDownStart(memory)
	if !known || since > now {
		since = now
	}
	if now-since >= config.coolDownMs {
		return Answer{Replicas: needed, Reason: reason}, nil
	}
	left := config.coolDownMs - (now - since)
	return Answer{
		Replicas:      current,
		Reason:        fmt.Sprintf("%s; scale-in is delayed by another %d s", reason, (left+999)/1_000),
		Memory:        strconv.AppendUint([]byte{memoryVersion}, since, 10),
		EvaluateAfter: left,
	}, nil
}

// coolDownStart returns the start of the cool-down. Bytes in another format are discarded, because an older revision may
// have written them.
func coolDownStart(memory []byte) (uint64, bool) {
	if len(memory) < 2 || len(memory) > 16 || memory[0] != memoryVersion {
		return 0, false
	}
	for _, digit := range memory[1:] {
		if digit < '0' || digit > '9' {
			return 0, false
		}
	}
	since, err := strconv.ParseUint(string(memory[1:]), 10, 64)
	return since, err == nil
}
