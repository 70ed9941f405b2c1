#include "rule.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "json.h"

const char SCHEMA[] =
    "{\n"
    "  \"$schema\": \"https://json-schema.org/draft/2020-12/schema\",\n"
    "  \"type\": \"object\",\n"
    "  \"additionalProperties\": false,\n"
    "  \"required\": [\"target-per-replica\"],\n"
    "  \"properties\": {\n"
    "    \"metric\": {\"type\": \"string\", \"minLength\": 1, \"default\": \"queue-depth\"},\n"
    "    \"target-per-replica\": {\"type\": \"integer\", \"minimum\": 1, \"maximum\": 1000000},\n"
    "    \"cool-down-seconds\": {\"type\": \"integer\", \"minimum\": 0, \"maximum\": 86400, \"default\": 300}\n"
    "  }\n"
    "}";

// The version of the memory's format, which is its first byte.
enum { MEMORY_VERSION = 1 };

// The highest count that the policy proposes.
enum { MAX_REPLICAS = 1000000 };

typedef struct {
  config_t *config;
  double target;
  double cool_down;
  bool metric_is_text;
} parsed_t;

// Stores one field. A value that is not a number becomes -1, which is outside every range.
static void store_field(void *context, const char *name, const json_value_t *value) {
  parsed_t *parsed = context;
  if (strcmp(name, "metric") == 0) {
    parsed->metric_is_text = value->kind == JSON_TEXT && strlen(value->text) < METRIC_SIZE;
    if (parsed->metric_is_text) strcpy(parsed->config->metric, value->text);
  } else if (strcmp(name, "target-per-replica") == 0) {
    parsed->target = value->kind == JSON_NUMBER ? value->number : -1;
  } else if (strcmp(name, "cool-down-seconds") == 0) {
    parsed->cool_down = value->kind == JSON_NUMBER ? value->number : -1;
  }
}

// 300, 300.0 and 3e2 are the same number.
static bool is_whole(const char *name, double number, double least, double most, char *problem) {
  if (number >= least && number <= most && number == trunc(number)) return true;
  snprintf(problem, TEXT_SIZE, "`%s` must be a whole number from %.0f to %.0f", name, least, most);
  return false;
}

bool rule_configure(const char *text, size_t length, config_t *config, char problem[TEXT_SIZE]) {
  parsed_t parsed = {.config = config, .target = -1, .cool_down = 300, .metric_is_text = true};
  strcpy(config->metric, "queue-depth");
  if (!json_object(text, length, store_field, &parsed)) {
    snprintf(problem, TEXT_SIZE, "the configuration is not a JSON object");
    return false;
  }
  if (!parsed.metric_is_text) {
    snprintf(problem, TEXT_SIZE, "`metric` must be a string");
    return false;
  }
  if (!is_whole("target-per-replica", parsed.target, 1, 1000000, problem)) return false;
  if (!is_whole("cool-down-seconds", parsed.cool_down, 0, 86400, problem)) return false;
  config->target = (uint64_t)parsed.target;
  config->cool_down_ms = (uint64_t)parsed.cool_down * 1000;
  return true;
}

// Reads the start of the cool-down. Returns false for bytes in another format, because an older revision may have written
// them.
static bool cool_down_start(const uint8_t *memory, size_t length, uint64_t *since) {
  if (length < 2 || length > MEMORY_SIZE || memory[0] != MEMORY_VERSION) return false;
  *since = 0;
  for (size_t i = 1; i < length; i++) {
    if (memory[i] < '0' || memory[i] > '9') return false;
    *since = *since * 10 + (memory[i] - '0');
  }
  return true;
}

bool rule_decide(const config_t *config, uint64_t now, uint32_t current, const series_t *series,
                 const uint8_t *memory, size_t memory_length, answer_t *answer, char problem[TEXT_SIZE]) {
  const char *what = NULL;
  if (series == NULL) {
    what = "is missing";
  } else if (series->failure != NULL) {
    snprintf(problem, TEXT_SIZE, "the metric `%s` is unavailable: %.*s", config->metric,
             (int)series->failure_length, series->failure);
    return false;
  } else if (!series->has_sample) {
    what = "has no sample yet";
  } else if (!isfinite(series->newest) || series->newest < 0) {
    what = "is not a finite number of 0 or more";
  }
  if (what != NULL) {
    snprintf(problem, TEXT_SIZE, "the metric `%s` %s", config->metric, what);
    return false;
  }
  uint64_t waiting = (uint64_t)fmin(series->newest, 1e15);
  uint64_t needed = (waiting + config->target - 1) / config->target;
  if (needed > MAX_REPLICAS) needed = MAX_REPLICAS;
  int used = snprintf(answer->reason, TEXT_SIZE, "%llu waiting, %llu per replica: the count should be %llu",
                      (unsigned long long)waiting, (unsigned long long)config->target, (unsigned long long)needed);
  answer->replicas = (uint32_t)needed;
  answer->memory_length = 0;
  answer->evaluate_after_ms = 0;
  if (needed >= current) return true;
  uint64_t since;
  if (!cool_down_start(memory, memory_length, &since) || since > now) since = now;
  if (now - since >= config->cool_down_ms) return true;
  uint64_t left = config->cool_down_ms - (now - since);
  snprintf(answer->reason + used, TEXT_SIZE - used, "; scale-in is delayed by another %llu s",
           (unsigned long long)(left + 999) / 1000);
  answer->replicas = current;
  answer->evaluate_after_ms = left;
  char digits[24];
  int length = snprintf(digits, sizeof digits, "%llu", (unsigned long long)since);
  if (length < MEMORY_SIZE) {
    answer->memory[0] = MEMORY_VERSION;
    memcpy(answer->memory + 1, digits, (size_t)length);
    answer->memory_length = (size_t)length + 1;
  }
  return true;
}
