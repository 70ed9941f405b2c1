// The rule, without WebAssembly: plain values in, plain values out.

export const SCHEMA = `{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "additionalProperties": false,
  "required": ["target-per-replica"],
  "properties": {
    "metric": {"type": "string", "minLength": 1, "default": "queue-depth"},
    "target-per-replica": {"type": "integer", "minimum": 1, "maximum": 1000000},
    "cool-down-seconds": {"type": "integer", "minimum": 0, "maximum": 86400, "default": 300}
  }
}`;

// The version of the memory's format, which is its first byte.
const MEMORY_VERSION = 1;
// The highest count that the policy proposes. (This engine returns counts up to 2147483647.)
const MAX_REPLICAS = 1000000;

/** Parses a configuration. Throws an Error whose message names the invalid field. */
export function configure(text) {
  let object;
  try {
    object = JSON.parse(text);
  } catch {
    object = null;
  }
  if (object === null || typeof object !== "object" || Array.isArray(object)) {
    throw new Error("the configuration is not a JSON object");
  }
  const metric = Object.hasOwn(object, "metric") ? object.metric : "queue-depth";
  if (typeof metric !== "string") throw new Error("`metric` must be a string");
  const whole = (name, least, most, otherwise) => {
    const value = Object.hasOwn(object, name) ? object[name] : otherwise;
    if (!Number.isInteger(value) || value < least || value > most) {
      throw new Error(`\`${name}\` must be a whole number from ${least} to ${most}`);
    }
    return value;
  };
  const target = whole("target-per-replica", 1, 1000000, undefined);
  const coolDownMs = whole("cool-down-seconds", 0, 86400, 300) * 1000;
  return { metric, target, coolDownMs };
}

/**
 * Proposes a count. `now` is in milliseconds, `series` is `{newest, failure}` or null, `memory` is bytes. Throws an Error
 * if the data is not sufficient to decide.
 */
export function decide(config, now, current, series, memory) {
  const problem = (what) => new Error(`the metric \`${config.metric}\` ${what}`);
  if (series == null) throw problem("is missing");
  if (series.failure != null) throw problem(`is unavailable: ${series.failure}`);
  if (series.newest == null) throw problem("has no sample yet");
  if (!Number.isFinite(series.newest) || series.newest < 0) throw problem("is not a finite number of 0 or more");
  const waiting = Math.floor(Math.min(series.newest, 1e15));
  const needed = Math.min(Math.ceil(waiting / config.target), MAX_REPLICAS);
  const reason = `${waiting} waiting, ${config.target} per replica: the count should be ${needed}`;
  const immediately = { replicas: needed, reason, memory: [], evaluateAfter: null };
  if (needed >= current) return immediately;
  const known = coolDownStart(memory);
  const since = known !== null && known <= now ? known : now;
  const left = config.coolDownMs - (now - since);
  if (left <= 0) return immediately;
  return {
    replicas: current,
    reason: `${reason}; scale-in is delayed by another ${Math.ceil(left / 1000)} s`,
    memory: [MEMORY_VERSION, ...String(since).split("").map((digit) => digit.charCodeAt(0))],
    evaluateAfter: left,
  };
}

// Returns the start of the cool-down. Bytes in another format are discarded, because an older revision may have written
// them.
function coolDownStart(memory) {
  const digits = String.fromCharCode(...memory.slice(1));
  return memory[0] === MEMORY_VERSION && /^[0-9]{1,15}$/.test(digits) ? Number(digits) : null;
}
