"""The rule, without anything of WebAssembly: plain values in, plain values out."""

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

# The first byte of the memory: which form the rest has.
MEMORY_VERSION = 1
# More is never asked for.
MOST_REPLICAS = 1_000_000


class WrongConfig(Exception):
    """The configuration is wrong; the text names the field."""


class NoFacts(Exception):
    """There are not enough facts to decide."""


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
        raise WrongConfig("the configuration is not a JSON object")
    metric = object.get("metric", "queue-depth")
    if not isinstance(metric, str):
        raise WrongConfig("`metric` must be text")

    def whole(name: str, least: int, most: int, default: Optional[int]) -> int:
        value = object.get(name, default)
        # However it is written: 300, 300.0 and 3e2 are one number. True is a number to Python only.
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not is_number or not least <= value <= most or value != int(value):
            raise WrongConfig(f"`{name}` must be a whole number from {least} to {most}")
        return int(value)

    target = whole("target-per-replica", 1, 1_000_000, None)
    return Config(metric, target, whole("cool-down-seconds", 0, 86_400, 300) * 1_000)


def decide(config: Config, now: int, current: int, series: Optional[Series], memory: bytes) -> Answer:
    def problem(what: str) -> NoFacts:
        return NoFacts(f"the metric `{config.metric}` {what}")

    if series is None:
        raise problem("is not there")
    if series.failure is not None:
        raise problem(f"could not be had: {series.failure}")
    if series.newest is None:
        raise problem("has no sample yet")
    if not math.isfinite(series.newest) or series.newest < 0:
        raise problem("is no count")
    waiting = int(min(series.newest, 1e15))
    wanted = min(-(-waiting // config.target), MOST_REPLICAS)
    reason = f"{waiting} waiting, {config.target} for each replica: {wanted} wanted"
    if wanted >= current:
        return Answer(wanted, reason)
    since = remembered(memory)
    if since is None or since > now:
        since = now
    left = config.cool_down_ms - (now - since)
    if left <= 0:
        return Answer(wanted, reason)
    reason += f", cooling down for {-(-left // 1_000)} s more"
    return Answer(current, reason, bytes([MEMORY_VERSION]) + str(since).encode(), left)


def remembered(memory: bytes) -> Optional[int]:
    """Since when fewer have been wanted. Bytes of another form are forgotten: they may be an older revision's."""
    version, digits = memory[:1], memory[1:]
    fits = version == bytes([MEMORY_VERSION]) and 1 <= len(digits) <= 15 and digits.isdigit()
    return int(digits) if fits else None
