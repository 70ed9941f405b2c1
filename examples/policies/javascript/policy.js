// The glue between the contract in `wit/` and the rule in `rule.js`.

import { write } from "windlass:policy/log@0.1.0";
import * as rule from "./rule.js";

// Throws an error of the contract: a case of its variant.
const orThrow = (tag, answer) => {
  try {
    return answer();
  } catch (error) {
    throw { tag, val: error.message };
  }
};

export const manifest = {
  describe() {
    return {
      name: "queue-depth",
      version: "1.0.0",
      summary: "Keeps a fixed number of waiting items per replica; scales in after a cool-down",
      configSchema: rule.SCHEMA,
    };
  },

  configure(text) {
    const config = orThrow("invalid-config", () => rule.configure(text));
    // In this engine a u64 is a plain number, not a BigInt.
    return { metrics: [{ name: config.metric, window: 60000 }] };
  },
};

export const scaling = {
  decide(text, seen) {
    const config = orThrow("invalid-config", () => rule.configure(text));
    // `none` is null or undefined, depending on the engine.
    const found = seen.metrics.find((series) => series.name === config.metric && series.replica == null);
    const series = found && { newest: found.samples.at(-1)?.value, failure: found.failure };
    const answer = orThrow("insufficient-data", () =>
      rule.decide(config, Number(seen.now), seen.currentReplicas, series, Array.from(seen.memory)),
    );
    write("debug", answer.reason);
    return {
      replicas: answer.replicas,
      reason: answer.reason,
      memory: Uint8Array.from(answer.memory),
      evaluateAfter: answer.evaluateAfter,
    };
  },
};
