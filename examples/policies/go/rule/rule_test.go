package rule

import "testing"

func ask(t *testing.T, current uint32, depth float64, now uint64, memory []byte) Answer {
	config, err := Configure(`{"target-per-replica": 25, "cool-down-seconds": 60}`)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := Decide(config, now, current, &Series{Newest: &depth}, memory)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

func TestALongQueueScalesUpAtOnce(t *testing.T) {
	answer := ask(t, 2, 101, 1_000, nil)
	if answer.Replicas != 5 || len(answer.Memory) != 0 {
		t.Error(answer)
	}
	if answer.Reason != "101 waiting, 25 per replica: the count should be 5" {
		t.Error(answer.Reason)
	}
}

func TestAShortQueueScalesDownAfterTheCoolDown(t *testing.T) {
	first := ask(t, 4, 10, 1_000, nil)
	if first.Replicas != 4 || first.EvaluateAfter != 60_000 {
		t.Error(first)
	}
	later := ask(t, 4, 10, 60_999, first.Memory)
	if later.Replicas != 4 || later.EvaluateAfter != 1 {
		t.Error(later)
	}
	if last := ask(t, 4, 10, 61_000, later.Memory); last.Replicas != 1 {
		t.Error(last)
	}
}

func TestMemoryOfAnotherFormIsForgotten(t *testing.T) {
	for _, memory := range []string{"\x02123", "\x01", "\x0112x", "\x011234567890123456", "\x0199999"} {
		if answer := ask(t, 4, 10, 1_000, []byte(memory)); answer.EvaluateAfter != 60_000 {
			t.Errorf("%q: %v", memory, answer)
		}
	}
}
