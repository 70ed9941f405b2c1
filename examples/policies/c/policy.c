// The glue between the contract in `wit/` and the rule in `rule.c`. An instance serves a single call, so nothing is freed.

#include <stdlib.h>
#include <string.h>

#include "rule.h"
#include "scaling_policy.h"

static void set_text(scaling_policy_string_t *out, const char *text) { scaling_policy_string_dup(out, text); }

static bool is_text(const scaling_policy_string_t *text, const char *other) {
  return text->len == strlen(other) && memcmp(text->ptr, other, text->len) == 0;
}

void exports_windlass_policy_manifest_describe(exports_windlass_policy_manifest_description_t *out) {
  set_text(&out->name, "queue-depth");
  set_text(&out->version, "1.0.0");
  set_text(&out->summary, "Keeps a fixed number of waiting items per replica; scales in after a cool-down");
  set_text(&out->config_schema, SCHEMA);
}

static bool configure(const scaling_policy_string_t *text, config_t *config, windlass_policy_types_policy_error_t *error) {
  char problem[TEXT_SIZE];
  if (rule_configure((const char *)text->ptr, text->len, config, problem)) return true;
  error->tag = WINDLASS_POLICY_TYPES_POLICY_ERROR_INVALID_CONFIG;
  set_text(&error->val.invalid_config, problem);
  return false;
}

bool exports_windlass_policy_manifest_configure(scaling_policy_string_t *text,
                                                exports_windlass_policy_manifest_requirements_t *out,
                                                exports_windlass_policy_manifest_policy_error_t *error) {
  config_t config;
  if (!configure(text, &config, error)) return false;
  out->metrics.len = 1;
  out->metrics.ptr = malloc(sizeof *out->metrics.ptr);
  out->metrics.ptr->window = 60000;
  set_text(&out->metrics.ptr->name, config.metric);
  return true;
}

bool exports_windlass_policy_scaling_decide(scaling_policy_string_t *text,
                                            exports_windlass_policy_scaling_observation_t *seen,
                                            exports_windlass_policy_scaling_decision_t *out,
                                            exports_windlass_policy_scaling_policy_error_t *error) {
  config_t config;
  if (!configure(text, &config, error)) return false;
  series_t series, *found = NULL;
  for (size_t i = 0; i < seen->metrics.len && found == NULL; i++) {
    const windlass_policy_types_series_t *one = &seen->metrics.ptr[i];
    if (one->replica.is_some || !is_text(&one->name, config.metric)) continue;
    size_t count = one->samples.len;
    series.has_sample = count > 0;
    series.newest = count > 0 ? one->samples.ptr[count - 1].value : 0;
    series.failure = one->failure.is_some ? (const char *)one->failure.val.ptr : NULL;
    series.failure_length = one->failure.is_some ? one->failure.val.len : 0;
    found = &series;
  }
  answer_t answer;
  char problem[TEXT_SIZE];
  if (!rule_decide(&config, seen->now, seen->current_replicas, found, seen->memory.ptr, seen->memory.len, &answer,
                   problem)) {
    error->tag = WINDLASS_POLICY_TYPES_POLICY_ERROR_INSUFFICIENT_DATA;
    set_text(&error->val.insufficient_data, problem);
    return false;
  }
  scaling_policy_string_t line;
  set_text(&line, answer.reason);
  windlass_policy_log_write(WINDLASS_POLICY_LOG_LEVEL_DEBUG, &line);
  out->replicas = answer.replicas;
  set_text(&out->reason, answer.reason);
  out->memory.len = answer.memory_length;
  out->memory.ptr = malloc(MEMORY_SIZE);
  memcpy(out->memory.ptr, answer.memory, answer.memory_length);
  out->evaluate_after.is_some = answer.evaluate_after_ms > 0;
  out->evaluate_after.val = answer.evaluate_after_ms;
  return true;
}
