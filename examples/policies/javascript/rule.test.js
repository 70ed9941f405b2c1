import assert from "node:assert/strict";
import test from "node:test";
import { configure, decide } from "./rule.js";

const ask = (current, depth, now, memory) =>
  decide(configure('{"target-per-replica": 25, "cool-down-seconds": 60}'), now, current, { newest: depth }, memory);

test("a long queue scales up at once", () => {
  const answer = ask(2, 101, 1000, []);
  assert.equal(answer.replicas, 5);
  assert.deepEqual(answer.memory, []);
  assert.equal(answer.reason, "101 waiting, 25 per replica: the count should be 5");
});

test("a short queue scales down after the cool-down", () => {
  const first = ask(4, 10, 1000, []);
  assert.deepEqual([first.replicas, first.evaluateAfter], [4, 60000]);
  const later = ask(4, 10, 60999, first.memory);
  assert.deepEqual([later.replicas, later.evaluateAfter], [4, 1]);
  assert.equal(ask(4, 10, 61000, later.memory).replicas, 1);
});

test("memory of another form is forgotten", () => {
  for (const text of ["\x02123", "\x01", "\x0112x", "\x011234567890123456", "\x0199999"]) {
    const memory = Array.from(text, (character) => character.charCodeAt(0));
    assert.equal(ask(4, 10, 1000, memory).evaluateAfter, 60000, text);
  }
});
