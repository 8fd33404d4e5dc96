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

// host knows one morphism: a node more behind another. All others are refused. A node has a thousand parameters.
type host struct{ plugin.Host }

func (host) ApplyMorphs(graph *graphv1.Graph, lineage ...*pb.Morph) (*graphv1.Graph, error) {
	derived := proto.Clone(graph).(*graphv1.Graph)
	for _, step := range lineage {
		if step.GetKind() != "deepen" || step.GetNode() == graph.GetOutput() {
			return nil, &plugin.Refused{Diagnostics: []*pb.Diagnostic{{Code: "BAD_MORPH"}}}
		}
		added := &graphv1.Node{Name: fmt.Sprint("new", len(derived.Nodes)), Op: "activation", Inputs: []string{step.GetNode()}}
		var nodes []*graphv1.Node
		for _, node := range derived.Nodes {
			if node.GetInputs()[0] == step.GetNode() {
				node.Inputs = []string{added.Name}
			}
			if nodes = append(nodes, node); node.GetName() == step.GetNode() {
				nodes = append(nodes, added)
			}
		}
		derived.Nodes = nodes
	}
	return derived, nil
}

func (host) EstimateCost(graph *graphv1.Graph) (*pb.EstimateCostResponse, error) {
	return &pb.EstimateCostResponse{Params: uint64(1000 * len(graph.GetNodes()))}, nil
}

func opened(t *testing.T, seed uint64, bounds ...*pb.Constraint) *search {
	t.Helper()
	session, err := evolve{}.Open(&pb.Problem{
		Input:       &graphv1.Input{Name: "image", Shape: []uint32{16, 16, 3}, Dtype: graphv1.DataType_DATA_TYPE_UINT8},
		Dataset:     &pb.DatasetProfile{Classes: 10},
		Constraints: bounds,
	}, map[string]any{"patience": 5.0}, seed)
	if err != nil {
		t.Fatal(err)
	}
	session.(plugin.HostUser).UseHost(host{})
	return session.(*search)
}

func proposed(t *testing.T, session *search, want int) []*pb.Candidate {
	t.Helper()
	answer, err := session.Propose(want, nil)
	if err != nil {
		t.Fatal(err)
	}
	return answer.GetProposals().GetCandidates()
}

func ingest(t *testing.T, session *search, events ...*pb.Event) {
	t.Helper()
	if err := session.Ingest(events); err != nil {
		t.Fatal(err)
	}
}

// asEvent echoes candidates as the engine does, with the graphs that it derives.
func asEvent(t *testing.T, session *search, first int, candidates []*pb.Candidate) *pb.Event {
	t.Helper()
	echo := &pb.Proposed{}
	for index, candidate := range candidates {
		candidate = proto.Clone(candidate).(*pb.Candidate)
		if len(candidate.GetLineage()) > 0 {
			graph, err := host{}.ApplyMorphs(graphs(session)[candidate.GetParents()[0]], candidate.GetLineage()...)
			if err != nil {
				t.Fatal(err)
			}
			candidate.Graph = graph
		}
		echo.Candidates = append(echo.Candidates, &pb.ProposedCandidate{Id: id(first + index), Candidate: candidate})
	}
	return &pb.Event{Event: &pb.Event_Proposed{Proposed: echo}}
}

func graphs(session *search) map[string]*graphv1.Graph {
	found := map[string]*graphv1.Graph{}
	for _, parent := range session.parents {
		found[parent.candidate] = parent.graph
	}
	return found
}

func id(candidate int) string { return fmt.Sprintf("c%06d", candidate) }

func ended(candidate int, state pb.TrialEnded_State, accuracy float64) *pb.Event {
	return &pb.Event{Event: &pb.Event_Ended{Ended: &pb.TrialEnded{
		Candidate: id(candidate), State: state, Metrics: map[string]float64{"valid_accuracy": accuracy},
	}}}
}

// searched makes so many trials, two at a time; a larger network is a better one. It gives log and candidates.
func searched(t *testing.T, session *search, trials int) (log []*pb.Event, candidates []*pb.Candidate) {
	t.Helper()
	for len(candidates) < trials {
		found := proposed(t, session, 2)
		news := []*pb.Event{asEvent(t, session, len(candidates), found)}
		for index, echoed := range news[0].GetProposed().GetCandidates() {
			accuracy := float64(len(echoed.GetCandidate().GetGraph().GetNodes())) / 100
			news = append(news, ended(len(candidates)+index, pb.TrialEnded_STATE_SUCCEEDED, accuracy))
		}
		ingest(t, session, news...)
		log, candidates = append(log, news...), append(candidates, found...)
	}
	return log, candidates
}

func TestItWaitsUntilThereIsAParent(t *testing.T) {
	session := opened(t, 0)
	found := proposed(t, session, 16)
	if len(found) != founders || found[0].GetGraph() == nil || len(found[0].GetLineage()) > 0 {
		t.Fatal(found)
	}
	ingest(t, session, asEvent(t, session, 0, found))
	if answer, err := session.Propose(16, nil); err != nil || answer.GetWait().GetMinNewResults() != 1 {
		t.Error(answer, err)
	}
	ingest(t, session, ended(0, pb.TrialEnded_STATE_FAILED, 0))
	if again := proposed(t, session, 16); len(again) != 1 || again[0].GetGraph() == nil {
		t.Error("a founder that failed has no other in its place", again)
	}
}

func TestChildrenBringALineageAndNoGraph(t *testing.T) {
	session := opened(t, 0)
	ingest(t, session, asEvent(t, session, 0, proposed(t, session, 2)), ended(1, pb.TrialEnded_STATE_STOPPED, 0.7),
		ended(0, pb.TrialEnded_STATE_INFEASIBLE, 0.9))
	for _, child := range proposed(t, session, 8) {
		if child.GetGraph() != nil || len(child.GetLineage()) != 1 || child.GetParents()[0] != id(1) {
			t.Error(child)
		}
	}
}

func TestReplayGivesTheSameProposals(t *testing.T) {
	session := opened(t, 3)
	log, _ := searched(t, session, 60)
	replayed := opened(t, 3)
	ingest(t, replayed, log...)
	first, second := proposed(t, session, 8), proposed(t, replayed, 8)
	for index := range first {
		if !proto.Equal(first[index], second[index]) {
			t.Fatalf("%v is %v after the replay", first[index], second[index])
		}
	}
}

func TestNetworksAreDistinctAndParentsTheNewest(t *testing.T) {
	session, known := opened(t, 1), map[string]bool{}
	_, candidates := searched(t, session, 200)
	for _, candidate := range candidates {
		if known[candidate.GetLocalId()] {
			t.Fatalf("%v came twice", candidate)
		}
		known[candidate.GetLocalId()] = true
	}
	if len(session.parents) != population || session.parents[0].candidate != id(200-population) {
		t.Errorf("%d parents from %s on", len(session.parents), session.parents[0].candidate)
	}
}

func TestItEvolves(t *testing.T) {
	session := opened(t, 2)
	searched(t, session, 2)
	founded := session.best.value
	if searched(t, session, 60); session.best.value <= founded {
		t.Errorf("from %v to %v", founded, session.best.value)
	}
}

func TestChildrenKeepTheBoundAndFoundersTakeTheirPlace(t *testing.T) {
	most := 25_000.0
	session := opened(t, 0, &pb.Constraint{Metric: "params", Max: &most, Hard: true})
	_, candidates := searched(t, session, 100)
	children := 0
	for index, candidate := range candidates {
		children += len(candidate.GetLineage())
		graph := graphs(session)[id(index)] // of the newest ones
		if len(candidate.GetLineage()) > 0 && len(graph.GetNodes()) > 25 {
			t.Errorf("%v has %d nodes", candidate, len(graph.GetNodes()))
		}
	}
	if children == 0 || children == len(candidates)-founders {
		t.Errorf("%d of %d are children", children, len(candidates))
	}
}

func TestRejectedCandidatesAreForgottenButNotProposedAgain(t *testing.T) {
	session := opened(t, 0)
	found := proposed(t, session, 2)
	ingest(t, session, asEvent(t, session, 0, found))
	for candidate := range found {
		rejected := &pb.Rejected{Candidate: id(candidate)}
		ingest(t, session, &pb.Event{Event: &pb.Event_Rejected{Rejected: rejected}})
	}
	for _, again := range proposed(t, session, 2) {
		if again.GetLocalId() == found[0].GetLocalId() || again.GetLocalId() == found[1].GetLocalId() {
			t.Error(again)
		}
	}
}

func TestVerdictFollowsTheResults(t *testing.T) {
	session := opened(t, 0)
	ingest(t, session, asEvent(t, session, 0, proposed(t, session, 2)))
	fails := func() *pb.Event { return ended(99, pb.TrialEnded_STATE_FAILED, 0) }
	steps := []struct {
		events  []*pb.Event
		verdict pb.AssessResponse_Verdict
	}{
		{nil, pb.AssessResponse_VERDICT_CONTINUE},
		{[]*pb.Event{fails(), fails(), fails(), fails()}, pb.AssessResponse_VERDICT_CONTINUE},
		{[]*pb.Event{fails()}, pb.AssessResponse_VERDICT_STALLED},
		{[]*pb.Event{ended(0, pb.TrialEnded_STATE_SUCCEEDED, 0.5)}, pb.AssessResponse_VERDICT_CONTINUE},
		{[]*pb.Event{ended(1, pb.TrialEnded_STATE_SUCCEEDED, math.NaN())}, pb.AssessResponse_VERDICT_CONTINUE},
		{[]*pb.Event{fails(), fails(), fails(), fails()}, pb.AssessResponse_VERDICT_CONVERGED},
	}
	for number, step := range steps {
		ingest(t, session, step.events...)
		answer, err := session.Assess(nil, nil)
		if err != nil || answer.GetVerdict() != step.verdict || answer.GetReason() == "" {
			t.Errorf("after step %d: %v, %v", number, answer, err)
		}
	}
}

func TestBadPatienceIsRefused(t *testing.T) {
	for _, patience := range []any{0.0, "long", nil} {
		if _, err := (evolve{}).Open(&pb.Problem{}, map[string]any{"patience": patience}, 0); err == nil {
			t.Errorf("%v is taken", patience)
		}
	}
}
