// A strict parser for one JSON object (RFC 8259), sufficient for a configuration.
#ifndef JSON_H
#define JSON_H

#include <stdbool.h>
#include <stddef.h>

typedef enum { JSON_NULL, JSON_TRUE, JSON_FALSE, JSON_NUMBER, JSON_TEXT, JSON_NESTED } json_kind_t;

typedef struct {
  json_kind_t kind;
  double number;     // JSON_NUMBER
  const char *text;  // JSON_TEXT: UTF-8, null-terminated, valid only during the call
} json_value_t;

// Called for every field of the object itself. Nested values are only validated.
typedef void json_field_t(void *context, const char *name, const json_value_t *value);

// Returns false if the text is not a JSON object.
bool json_object(const char *text, size_t length, json_field_t *field, void *context);

#endif
