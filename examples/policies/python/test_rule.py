import unittest

from rule import Series, configure, decide


def ask(current, depth, now, memory):
    config = configure('{"target-per-replica": 25, "cool-down-seconds": 60}')
    return decide(config, now, current, Series(depth), memory)


class RuleTest(unittest.TestCase):
    def test_a_long_queue_scales_up_at_once(self):
        answer = ask(2, 101.0, 1_000, b"")
        self.assertEqual((answer.replicas, answer.memory), (5, b""))
        self.assertEqual(answer.reason, "101 waiting, 25 per replica: the count should be 5")

    def test_a_short_queue_scales_down_after_the_cool_down(self):
        first = ask(4, 10.0, 1_000, b"")
        self.assertEqual((first.replicas, first.evaluate_after), (4, 60_000))
        later = ask(4, 10.0, 60_999, first.memory)
        self.assertEqual((later.replicas, later.evaluate_after), (4, 1))
        self.assertEqual(ask(4, 10.0, 61_000, later.memory).replicas, 1)

    def test_memory_of_another_form_is_forgotten(self):
        for memory in [b"\x02123", b"\x01", b"\x0112x", b"\x011234567890123456", b"\x0199999"]:
            self.assertEqual(ask(4, 10.0, 1_000, memory).evaluate_after, 60_000, memory)


if __name__ == "__main__":
    unittest.main()
