// The rule, without WebAssembly: plain values in, plain values out.
#ifndef RULE_H
#define RULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

extern const char SCHEMA[];

// Buffer sizes in bytes. The buffers are on the stack.
enum { METRIC_SIZE = 512, TEXT_SIZE = 2048, MEMORY_SIZE = 16 };

typedef struct {
  char metric[METRIC_SIZE];
  uint64_t target;
  uint64_t cool_down_ms;
} config_t;

// A metric of the whole workload.
typedef struct {
  bool has_sample;
  double newest;
  const char *failure;  // NULL if there is no failure
  size_t failure_length;
} series_t;

typedef struct {
  uint32_t replicas;
  char reason[TEXT_SIZE];
  uint8_t memory[MEMORY_SIZE];
  size_t memory_length;
  uint64_t evaluate_after_ms;  // 0: the usual interval
} answer_t;

// Parses a configuration. Returns false if it is invalid; `problem` then names the field.
bool rule_configure(const char *text, size_t length, config_t *config, char problem[TEXT_SIZE]);

// Proposes a count. `series` is NULL if the metric is missing. Returns false if the data is not sufficient; `problem` then
// names what is missing.
bool rule_decide(const config_t *config, uint64_t now, uint32_t current, const series_t *series,
                 const uint8_t *memory, size_t memory_length, answer_t *answer, char problem[TEXT_SIZE]);

#endif
