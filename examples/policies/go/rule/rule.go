// Package rule is the rule, without anything of WebAssembly: plain values in, plain values out.
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

// The first byte of the memory: which form the rest has.
const memoryVersion = 1

// More is never asked for.
const mostReplicas = 1_000_000

type Config struct {
	Metric     string
	target     uint64
	coolDownMs uint64
}

// Series is what was measured of the whole workload.
type Series struct {
	Newest  *float64
	Failure *string
}

type Answer struct {
	Replicas uint32
	Reason   string
	Memory   []byte
	// EvaluateAfter is in milliseconds; 0: at the usual time.
	EvaluateAfter uint64
}

// Configure reads a configuration; its error names the field.
func Configure(text string) (Config, error) {
	var object map[string]any
	if err := json.Unmarshal([]byte(text), &object); err != nil || object == nil {
		return Config{}, fmt.Errorf("the configuration is not a JSON object")
	}
	metric := "queue-depth"
	if value, found := object["metric"]; found {
		text, isText := value.(string)
		if !isText {
			return Config{}, fmt.Errorf("`metric` must be text")
		}
		metric = text
	}
	whole := func(name string, least, most, otherwise float64) (uint64, error) {
		number := otherwise
		if value, found := object[name]; found {
			// However it is written: 300, 300.0 and 3e2 are one number. What is none is out of every range.
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

// Decide answers; its error says which facts are missing.
func Decide(config Config, now uint64, current uint32, series *Series, memory []byte) (Answer, error) {
	problem := func(what string) (Answer, error) {
		return Answer{}, fmt.Errorf("the metric `%s` %s", config.Metric, what)
	}
	switch {
	case series == nil:
		return problem("is not there")
	case series.Failure != nil:
		return problem("could not be had: " + *series.Failure)
	case series.Newest == nil:
		return problem("has no sample yet")
	case math.IsNaN(*series.Newest) || math.IsInf(*series.Newest, 0) || *series.Newest < 0:
		return problem("is no count")
	}
	waiting := uint64(math.Min(*series.Newest, 1e15))
	wanted := uint32(min((waiting+config.target-1)/config.target, mostReplicas))
	reason := fmt.Sprintf("%d waiting, %d for each replica: %d wanted", waiting, config.target, wanted)
	if wanted >= current {
		return Answer{Replicas: wanted, Reason: reason}, nil
	}
	since, known := remembered(memory)
	if !known || since > now {
		since = now
	}
	if now-since >= config.coolDownMs {
		return Answer{Replicas: wanted, Reason: reason}, nil
	}
	left := config.coolDownMs - (now - since)
	return Answer{
		Replicas:      current,
		Reason:        fmt.Sprintf("%s, cooling down for %d s more", reason, (left+999)/1_000),
		Memory:        strconv.AppendUint([]byte{memoryVersion}, since, 10),
		EvaluateAfter: left,
	}, nil
}

// remembered tells since when fewer have been wanted. Bytes of another form are forgotten: they may be an older
// revision's.
func remembered(memory []byte) (uint64, bool) {
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
