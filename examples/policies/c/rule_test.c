#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "rule.h"

static answer_t ask(uint32_t current, double depth, uint64_t now, const void *memory, size_t length) {
  const char *text = "{\"target-per-replica\": 25, \"cool-down-seconds\": 60}";
  char problem[TEXT_SIZE];
  config_t config;
  assert(rule_configure(text, strlen(text), &config, problem));
  series_t series = {.has_sample = true, .newest = depth};
  answer_t answer;
  assert(rule_decide(&config, now, current, &series, memory, length, &answer, problem));
  return answer;
}

static void a_long_queue_scales_up_at_once(void) {
  answer_t answer = ask(2, 101, 1000, NULL, 0);
  assert(answer.replicas == 5 && answer.memory_length == 0);
  assert(strcmp(answer.reason, "101 waiting, 25 per replica: the count should be 5") == 0);
}

static void a_short_queue_scales_down_after_the_cool_down(void) {
  answer_t first = ask(4, 10, 1000, NULL, 0);
  assert(first.replicas == 4 && first.evaluate_after_ms == 60000);
  answer_t later = ask(4, 10, 60999, first.memory, first.memory_length);
  assert(later.replicas == 4 && later.evaluate_after_ms == 1);
  assert(ask(4, 10, 61000, later.memory, later.memory_length).replicas == 1);
}

static void memory_of_another_form_is_forgotten(void) {
  static const char *const MEMORIES[] = {"\x02" "123", "\x01", "\x01" "12x", "\x01" "1234567890123456", "\x01" "99999"};
  for (size_t i = 0; i < sizeof MEMORIES / sizeof *MEMORIES; i++) {
    assert(ask(4, 10, 1000, MEMORIES[i], strlen(MEMORIES[i])).evaluate_after_ms == 60000);
  }
}

static void what_is_no_object_is_refused(void) {
  static const char *const TEXTS[] = {"",        "[]",        "{",          "{} x",           "{\"a\":}",
                                      "{\"a\" 1}", "{\"a\":01}", "{\"a\":1,}", "{\"a\":\"\\x\"}", "{\"\\ud800\":1}"};
  char problem[TEXT_SIZE];
  config_t config;
  for (size_t i = 0; i < sizeof TEXTS / sizeof *TEXTS; i++) {
    assert(!rule_configure(TEXTS[i], strlen(TEXTS[i]), &config, problem));
    assert(strcmp(problem, "the configuration is not a JSON object") == 0);
  }
}

int main(void) {
  a_long_queue_scales_up_at_once();
  a_short_queue_scales_down_after_the_cool_down();
  memory_of_another_form_is_forgotten();
  what_is_no_object_is_refused();
  puts("4 tests passed");
}
