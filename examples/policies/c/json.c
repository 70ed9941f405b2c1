#include "json.h"

#include <stdlib.h>
#include <string.h>

// The maximum nesting depth.
enum { MAX_DEPTH = 64 };

typedef struct {
  const char *at;
  const char *end;
} reader_t;

static void skip_space(reader_t *in) {
  while (in->at < in->end && strchr(" \t\r\n", *in->at) != NULL && *in->at != '\0') in->at++;
}

static bool take(reader_t *in, char expected) {
  if (in->at == in->end || *in->at != expected) return false;
  in->at++;
  return true;
}

static bool take_word(reader_t *in, const char *word) {
  size_t length = strlen(word);
  if ((size_t)(in->end - in->at) < length || memcmp(in->at, word, length) != 0) return false;
  in->at += length;
  return true;
}

static bool take_digits(reader_t *in) {
  const char *first = in->at;
  while (in->at < in->end && *in->at >= '0' && *in->at <= '9') in->at++;
  return in->at > first;
}

static bool number(reader_t *in, double *value) {
  const char *first = in->at;
  take(in, '-');
  if (!take(in, '0') && !take_digits(in)) return false;
  if (take(in, '.') && !take_digits(in)) return false;
  if (take(in, 'e') || take(in, 'E')) {
    if (!take(in, '+')) take(in, '-');
    if (!take_digits(in)) return false;
  }
  size_t length = (size_t)(in->at - first);
  char *copy = malloc(length + 1);
  memcpy(copy, first, length);
  copy[length] = '\0';
  *value = strtod(copy, NULL);
  free(copy);
  return true;
}

static bool hexadecimal(reader_t *in, unsigned *unit) {
  *unit = 0;
  for (int i = 0; i < 4; i++, in->at++) {
    static const char DIGITS[] = "0123456789abcdef";
    if (in->at == in->end || *in->at == '\0') return false;
    const char *digit = strchr(DIGITS, *in->at | (*in->at >= 'A' ? 0x20 : 0));
    if (digit == NULL) return false;
    *unit = *unit * 16 + (unsigned)(digit - DIGITS);
  }
  return true;
}

static char *put_utf8(char *out, unsigned code) {
  if (code < 0x80) {
    *out++ = (char)code;
  } else if (code < 0x800) {
    *out++ = (char)(0xC0 | code >> 6);
    *out++ = (char)(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    *out++ = (char)(0xE0 | code >> 12);
    *out++ = (char)(0x80 | (code >> 6 & 0x3F));
    *out++ = (char)(0x80 | (code & 0x3F));
  } else {
    *out++ = (char)(0xF0 | code >> 18);
    *out++ = (char)(0x80 | (code >> 12 & 0x3F));
    *out++ = (char)(0x80 | (code >> 6 & 0x3F));
    *out++ = (char)(0x80 | (code & 0x3F));
  }
  return out;
}

static bool escaped(reader_t *in, char **out) {
  static const char NAMES[] = "\"\\/bfnrt", VALUES[] = "\"\\/\b\f\n\r\t";
  if (in->at == in->end || *in->at == '\0') return false;
  char name = *in->at++;
  const char *known = strchr(NAMES, name);
  if (known != NULL) {
    *(*out)++ = VALUES[known - NAMES];
    return true;
  }
  unsigned unit, low;
  if (name != 'u' || !hexadecimal(in, &unit)) return false;
  if (unit >= 0xD800 && unit < 0xDC00) {
    if (!take(in, '\\') || !take(in, 'u') || !hexadecimal(in, &low) || low < 0xDC00 || low > 0xDFFF) return false;
    unit = 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
  } else if (unit >= 0xDC00 && unit < 0xE000) {
    return false;
  }
  // A NUL would end the C string.
  if (unit == 0) return false;
  *out = put_utf8(*out, unit);
  return true;
}

// Parses a string after its opening quote. Returns memory that the caller frees, or NULL if it is not a valid string.
// Unescaping never makes a string longer.
static char *text(reader_t *in) {
  char *copy = malloc((size_t)(in->end - in->at) + 1), *out = copy;
  while (in->at < in->end) {
    unsigned char byte = (unsigned char)*in->at++;
    if (byte == '"') {
      *out = '\0';
      return copy;
    }
    if (byte < 0x20 || (byte == '\\' && !escaped(in, &out))) break;
    if (byte != '\\') *out++ = (char)byte;
  }
  free(copy);
  return NULL;
}

static bool object(reader_t *in, int depth, json_field_t *field, void *context);

static bool array(reader_t *in, int depth);

// A value; its text, if it is one, is the caller's to free.
static bool value(reader_t *in, int depth, json_value_t *found) {
  skip_space(in);
  found->text = NULL;
  found->kind = JSON_NESTED;
  if (take(in, '{')) return object(in, depth + 1, NULL, NULL);
  if (take(in, '[')) return array(in, depth + 1);
  if (take(in, '"')) {
    found->kind = JSON_TEXT;
    return (found->text = text(in)) != NULL;
  }
  static const char *const WORDS[] = {"null", "true", "false"};
  for (int word = 0; word < 3; word++) {
    found->kind = (json_kind_t)word;
    if (take_word(in, WORDS[word])) return true;
  }
  found->kind = JSON_NUMBER;
  return number(in, &found->number);
}

static bool array(reader_t *in, int depth) {
  if (depth > MAX_DEPTH) return false;
  skip_space(in);
  if (take(in, ']')) return true;
  do {
    json_value_t element;
    if (!value(in, depth, &element)) return false;
    free((char *)element.text);
    skip_space(in);
  } while (take(in, ','));
  return take(in, ']');
}

static bool object(reader_t *in, int depth, json_field_t *field, void *context) {
  if (depth > MAX_DEPTH) return false;
  skip_space(in);
  if (take(in, '}')) return true;
  do {
    skip_space(in);
    char *name = take(in, '"') ? text(in) : NULL;
    if (name == NULL) return false;
    skip_space(in);
    json_value_t found = {.text = NULL};
    bool good = take(in, ':') && value(in, depth, &found);
    if (good && field != NULL) field(context, name, &found);
    free(name);
    free((char *)found.text);
    if (!good) return false;
    skip_space(in);
  } while (take(in, ','));
  return take(in, '}');
}

bool json_object(const char *source, size_t length, json_field_t *field, void *context) {
  reader_t in = {source, source + length};
  skip_space(&in);
  if (!take(&in, '{') || !object(&in, 1, field, context)) return false;
  skip_space(&in);
  return in.at == in.end;
}
