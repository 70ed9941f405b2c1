// The rule, without anything of WebAssembly: plain values in, plain values out.

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

// The first byte of the memory: which form the rest has.
const MEMORY_VERSION = 1;
// More is never asked for. (This engine hands over no count past 2147483647.)
const MOST_REPLICAS = 1000000;

/** Throws an Error whose message names the field. */
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
  if (typeof metric !== "string") throw new Error("`metric` must be text");
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
 * `now` in milliseconds, `series` `{newest, failure}` or null, `memory` bytes. Throws an Error where there are not
 * enough facts to decide.
 */
export function decide(config, now, current, series, memory) {
  const problem = (what) => new Error(`the metric \`${config.metric}\` ${what}`);
  if (series == null) throw problem("is not there");
  if (series.failure != null) throw problem(`could not be had: ${series.failure}`);
  if (series.newest == null) throw problem("has no sample yet");
  if (!Number.isFinite(series.newest) || series.newest < 0) throw problem("is no count");
  const waiting = Math.floor(Math.min(series.newest, 1e15));
  const wanted = Math.min(Math.ceil(waiting / config.target), MOST_REPLICAS);
  const reason = `${waiting} waiting, ${config.target} for each replica: ${wanted} wanted`;
  const atOnce = { replicas: wanted, reason, memory: [], evaluateAfter: null };
  if (wanted >= current) return atOnce;
  const known = remembered(memory);
  const since = known !== null && known <= now ? known : now;
  const left = config.coolDownMs - (now - since);
  if (left <= 0) return atOnce;
  return {
    replicas: current,
    reason: `${reason}, cooling down for ${Math.ceil(left / 1000)} s more`,
    memory: [MEMORY_VERSION, ...String(since).split("").map((digit) => digit.charCodeAt(0))],
    evaluateAfter: left,
  };
}

// Since when fewer have been wanted. Bytes of another form are forgotten: they may be an older revision's.
function remembered(memory) {
  const digits = String.fromCharCode(...memory.slice(1));
  return memory[0] === MEMORY_VERSION && /^[0-9]{1,15}$/.test(digits) ? Number(digits) : null;
}
