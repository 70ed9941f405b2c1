"""The rule, without WebAssembly: plain values in, plain values out."""

import json
import math
from dataclasses import dataclass
from typing import Optional

SCHEMA = """{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "additionalProperties": false,
  "required": ["target-per-replica"],
  "properties": {
    "metric": {"type": "string", "minLength": 1, "default": "queue-depth"},
    "target-per-replica": {"type": "integer", "minimum": 1, "maximum": 1000000},
    "cool-down-seconds": {"type": "integer", "minimum": 0, "maximum": 86400, "default": 300}
  }
}"""

# The version of the memory's format, which is its first byte.
MEMORY_VERSION = 1
# The highest count that the policy proposes.
MAX_REPLICAS = 1_000_000


class InvalidConfig(Exception):
    """The configuration is invalid; the text names the field."""


class MissingData(Exception):
    """The data is not sufficient to decide; the text names what is missing."""


@dataclass
class Config:
    metric: str
    target: int
    cool_down_ms: int


@dataclass
class Series:
    newest: Optional[float]
    failure: Optional[str] = None


@dataclass
class Answer:
    replicas: int
    reason: str
    memory: bytes = b""
    evaluate_after: Optional[int] = None


def configure(text: str) -> Config:
    try:
        object = json.loads(text)
    except ValueError:
        object = None
    if not isinstance(object, dict):
        raise InvalidConfig("the configuration is not a JSON object")
    metric = object.get("metric", "queue-depth")
    if not isinstance(metric, str):
        raise InvalidConfig("`metric` must be a string")

    def whole(name: str, least: int, most: int, default: Optional[int]) -> int:
        value = object.get(name, default)
        # 300, 300.0 and 3e2 are the same number. In Python, but not in JSON, True is a number.
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not is_number or not least <= value <= most or value != int(value):
            raise InvalidConfig(f"`{name}` must be a whole number from {least} to {most}")
        return int(value)

    target = whole("target-per-replica", 1, 1_000_000, None)
    return Config(metric, target, whole("cool-down-seconds", 0, 86_400, 300) * 1_000)


def decide(config: Config, now: int, current: int, series: Optional[Series], memory: bytes) -> Answer:
    def problem(what: str) -> MissingData:
        return MissingData(f"the metric `{config.metric}` {what}")

    if series is None:
        raise problem("is missing")
    if series.failure is not None:
        raise problem(f"is unavailable: {series.failure}")
    if series.newest is None:
        raise problem("has no sample yet")
    if not math.isfinite(series.newest) or series.newest < 0:
        raise problem("is not a finite number of 0 or more")
    waiting = int(min(series.newest, 1e15))
    needed = min(-(-waiting // config.target), MAX_REPLICAS)
    reason = f"{waiting} waiting, {config.target} per replica: the count should be {needed}"
    if needed >= current:
        return Answer(needed, reason)
    since = cool_down_start(memory)
    if since is None or since > now:
        since = now
    left = config.cool_down_ms - (now - since)
    if left <= 0:
        return Answer(needed, reason)
    reason += f"; scale-in is delayed by another {-(-left // 1_000)} s"
    return Answer(current, reason, bytes([MEMORY_VERSION]) + str(since).encode(), left)


def cool_down_start(memory: bytes) -> Optional[int]:
    """Returns the start of the cool-down. Bytes in another format are discarded: an older revision may have written them."""
    version, digits = memory[:1], memory[1:]
    fits = version == bytes([MEMORY_VERSION]) and 1 <= len(digits) <= 15 and digits.isdigit()
    return int(digits) if fits else None
