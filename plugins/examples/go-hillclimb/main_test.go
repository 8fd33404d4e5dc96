package main

import (
	"fmt"
	"math"
	"testing"

	"google.golang.org/protobuf/proto"

	graphv1 "neunets.dev/go/neunets/graph/v1"
	pb "neunets.dev/go/neunets/synthesizer/v1"
	"neunets.dev/go/plugin"
)

func opened(t *testing.T, seed uint64) plugin.Session {
	t.Helper()
	session, err := hillClimb{}.Open(&pb.Problem{
		Input:   &graphv1.Input{Name: "image", Shape: []uint32{16, 16, 3}, Dtype: graphv1.DataType_DATA_TYPE_UINT8},
		Dataset: &pb.DatasetProfile{Classes: 10},
	}, map[string]any{"patience": 5.0}, seed)
	if err != nil {
		t.Fatal(err)
	}
	return session
}

func proposed(t *testing.T, session plugin.Session, want int) []*pb.Candidate {
	t.Helper()
	answer, err := session.Propose(want, nil)
	if err != nil {
		t.Fatal(err)
	}
	return answer.GetProposals().GetCandidates()
}

func ingest(t *testing.T, session plugin.Session, events ...*pb.Event) {
	t.Helper()
	if err := session.Ingest(events); err != nil {
		t.Fatal(err)
	}
}

func asEvent(first int, candidates []*pb.Candidate) *pb.Event {
	echo := &pb.Proposed{}
	for index, candidate := range candidates {
		id := fmt.Sprintf("c%d", first+index)
		echo.Candidates = append(echo.Candidates, &pb.ProposedCandidate{Id: id, Candidate: candidate})
	}
	return &pb.Event{Event: &pb.Event_Proposed{Proposed: echo}}
}

func ended(candidate int, state pb.TrialEnded_State, accuracy float64) *pb.Event {
	return &pb.Event{Event: &pb.Event_Ended{Ended: &pb.TrialEnded{
		Candidate: fmt.Sprintf("c%d", candidate), State: state, Metrics: map[string]float64{"valid_accuracy": accuracy},
	}}}
}

// accuracy of a candidate, made up: the more nodes, the better.
func accuracy(candidate *pb.Candidate) float64 {
	return float64(len(candidate.GetGraph().GetNodes())) / 100
}

// search makes so many trials, two at a time, and gives the log and the candidates.
func search(t *testing.T, session plugin.Session, trials int) (log []*pb.Event, candidates []*pb.Candidate) {
	t.Helper()
	for len(candidates) < trials {
		found := proposed(t, session, 2)
		news := []*pb.Event{asEvent(len(candidates), found)}
		for index, candidate := range found {
			news = append(news, ended(len(candidates)+index, pb.TrialEnded_STATE_SUCCEEDED, accuracy(candidate)))
		}
		ingest(t, session, news...)
		log, candidates = append(log, news...), append(candidates, found...)
	}
	return log, candidates
}

func TestReplayGivesTheSameProposals(t *testing.T) {
	session := opened(t, 3)
	log, _ := search(t, session, 40)
	replayed := opened(t, 3)
	ingest(t, replayed, log...)
	first, second := proposed(t, session, 8), proposed(t, replayed, 8)
	for index := range first {
		if !proto.Equal(first[index], second[index]) {
			t.Fatalf("%v is %v after the replay", first[index].GetRationale(), second[index].GetRationale())
		}
	}
	if other := proposed(t, opened(t, 4), 8); proto.Equal(other[7], proposed(t, opened(t, 3), 8)[7]) {
		t.Error("another seed makes no difference")
	}
}

func TestCandidatesAreDistinctWhatEverBecomesOfThem(t *testing.T) {
	session, known := opened(t, 0), map[string]bool{}
	for first := 0; first < 400; first += 4 {
		found := proposed(t, session, 4)
		for _, candidate := range found {
			if known[candidate.GetLocalId()] {
				t.Fatalf("%s came twice", candidate.GetRationale())
			}
			known[candidate.GetLocalId()] = true
		}
		// Of four, one succeeds, one fails, one has no number, and one is pending.
		ingest(t, session, asEvent(first, found), ended(first, pb.TrialEnded_STATE_SUCCEEDED, accuracy(found[0])),
			ended(first+1, pb.TrialEnded_STATE_FAILED, 1), ended(first+2, pb.TrialEnded_STATE_SUCCEEDED, math.NaN()))
	}
}

func TestTheBestNetworkIsTheParent(t *testing.T) {
	session := opened(t, 0)
	found := proposed(t, session, 3)
	ingest(t, session, asEvent(0, found), ended(0, pb.TrialEnded_STATE_SUCCEEDED, 0.5),
		ended(1, pb.TrialEnded_STATE_STOPPED, 0.7), ended(2, pb.TrialEnded_STATE_INFEASIBLE, 0.9))
	for _, child := range proposed(t, session, 4) {
		if parents := child.GetParents(); len(parents) != 1 || parents[0] != "c1" {
			t.Errorf("%v are its parents", parents)
		}
	}
}

func TestItClimbs(t *testing.T) {
	session := opened(t, 1)
	_, candidates := search(t, session, 60)
	if first, last := accuracy(candidates[0]), session.(*climb).value; last <= first {
		t.Errorf("from %v to %v", first, last)
	}
}

func TestVerdictFollowsTheResults(t *testing.T) {
	session := opened(t, 0)
	ingest(t, session, asEvent(0, proposed(t, session, 16)))
	steps := []struct {
		event   *pb.Event
		verdict pb.AssessResponse_Verdict
	}{
		{asEvent(16, nil), pb.AssessResponse_VERDICT_CONTINUE},
		{ended(0, pb.TrialEnded_STATE_FAILED, 0), pb.AssessResponse_VERDICT_CONTINUE},
		{ended(1, pb.TrialEnded_STATE_FAILED, 0), pb.AssessResponse_VERDICT_CONTINUE},
		{ended(2, pb.TrialEnded_STATE_LOST, 0), pb.AssessResponse_VERDICT_CONTINUE},
		{ended(3, pb.TrialEnded_STATE_CANCELLED, 0), pb.AssessResponse_VERDICT_CONTINUE},
		{ended(4, pb.TrialEnded_STATE_INFEASIBLE, 0), pb.AssessResponse_VERDICT_STALLED},
		{ended(5, pb.TrialEnded_STATE_SUCCEEDED, 0.5), pb.AssessResponse_VERDICT_CONTINUE},
		{ended(6, pb.TrialEnded_STATE_SUCCEEDED, 0.5), pb.AssessResponse_VERDICT_CONTINUE},
		{ended(7, pb.TrialEnded_STATE_SUCCEEDED, 0.4), pb.AssessResponse_VERDICT_CONTINUE},
		{ended(8, pb.TrialEnded_STATE_SUCCEEDED, 0.4), pb.AssessResponse_VERDICT_CONTINUE},
		{ended(9, pb.TrialEnded_STATE_SUCCEEDED, 0.4), pb.AssessResponse_VERDICT_CONTINUE},
		{ended(10, pb.TrialEnded_STATE_SUCCEEDED, 0.4), pb.AssessResponse_VERDICT_CONVERGED},
		{ended(11, pb.TrialEnded_STATE_SUCCEEDED, 0.6), pb.AssessResponse_VERDICT_CONTINUE},
	}
	for number, step := range steps {
		ingest(t, session, step.event)
		answer, err := session.Assess(nil, nil)
		if err != nil || answer.GetVerdict() != step.verdict || answer.GetReason() == "" {
			t.Errorf("after step %d: %v, %v", number, answer, err)
		}
	}
}

func TestBadPatienceIsRefused(t *testing.T) {
	for _, patience := range []any{0.0, "long", nil} {
		if _, err := (hillClimb{}).Open(&pb.Problem{}, map[string]any{"patience": patience}, 0); err == nil {
			t.Errorf("%v is taken", patience)
		}
	}
}
