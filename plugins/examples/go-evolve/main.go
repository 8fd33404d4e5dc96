// Command go-evolve is a synthesizer: evolution by named morphisms, where a child begins with its parent's weights.
package main

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"time"

	graphv1 "neunets.dev/go/neunets/graph/v1"
	pb "neunets.dev/go/neunets/synthesizer/v1"
	"neunets.dev/go/plugin"
	"neunets.dev/go/plugin/spaces"
)

const schema = `{"type": "object", "additionalProperties": false, "properties": {"patience": {"type": "integer",
"minimum": 1, "default": 24, "description": "Results in a row without a better one after which it has converged."}}}`

const (
	founders   = 2    // that train before there is a parent
	population = 24   // newest results that may be parents
	tournament = 4    // of these, the best is one
	noise      = 0.01 // tells the copies of a channel apart
	draws      = 64   // of a child, before a founder takes its place
	steps      = 4096 // of a founder away from the standard network, before the space counts as empty
)

type evolve struct{}

func (evolve) Describe() *pb.DescribeResponse {
	return &pb.DescribeResponse{
		Name: "go-evolve", Version: "0.1.0", Summary: "Evolution by morphisms with inherited weights, in Go.",
		Capabilities:       []pb.Capability{pb.Capability_CAPABILITY_DETERMINISTIC, pb.Capability_CAPABILITY_WEIGHT_INHERITANCE},
		SettingsSchemaJson: schema,
		GraphOps: []string{
			"activation", "add", "avg_pool", "batch_norm", "concat", "conv", "global_pool", "linear", "max_pool"},
	}
}

func (evolve) Open(problem *pb.Problem, settings map[string]any, seed uint64) (plugin.Session, error) {
	patience, isNumber := settings["patience"].(float64)
	if !isNumber || patience < 1 {
		return nil, plugin.BadField("settings.patience", "%v is no number of at least 1", settings["patience"])
	}
	metric, noMetric := plugin.Metric(problem)
	maxParams, noBound := plugin.MaxParams(problem)
	space, noSpace := spaces.NewChain(problem)
	return &search{seed: seed, patience: int(patience), metric: metric, maxParams: maxParams, space: space,
		seen: map[string]bool{}, pending: map[string]*graphv1.Graph{}}, cmp.Or(noMetric, noBound, noSpace)
}

// search is a fold over the events: candidate k depends on the seed, on k, and on the results when it is proposed.
type search struct {
	seed        uint64
	patience    int
	metric      string
	maxParams   float64
	space       spaces.Chain
	host        plugin.Host
	seen        map[string]bool           // hashes of all networks, which are their local ids
	pending     map[string]*graphv1.Graph // of trials that have not ended, by the engine's ids of candidates
	parents     []result                  // the newest last
	best        result
	ended, late int // trials that have ended, and those of them after the best one
}

type result struct {
	candidate string // empty: there is none
	graph     *graphv1.Graph
	value     float64
}

func (s *search) UseHost(host plugin.Host) { s.host = host }

func (s *search) Propose(want int, _ *pb.Budget) (*pb.ProposeResponse, error) {
	if len(s.parents) == 0 {
		want = min(want, founders-len(s.pending))
	}
	var candidates []*pb.Candidate
	for seen := maps.Clone(s.seen); len(candidates) < want; {
		next, err := s.next(seen)
		if err != nil {
			return nil, err
		} else if next == nil {
			break
		}
		seen[next.GetLocalId()] = true
		candidates = append(candidates, next)
	}
	switch {
	case len(candidates) > 0:
		return plugin.Proposals(candidates...), nil
	case len(s.pending) > 0:
		return plugin.Wait(1, time.Minute, "children need a parent that has ended"), nil
	}
	return plugin.Exhausted("no network is found any more that was not tried"), nil
}

// next is a child, or a founder where there is no parent, or none has a child that is new and small enough.
func (s *search) next(seen map[string]bool) (*pb.Candidate, error) {
	random := rand.New(rand.NewPCG(s.seed, uint64(len(seen))<<32|uint64(s.ended)))
	for draw := 0; draw < draws && len(s.parents) > 0; draw++ {
		child, err := s.child(random)
		if err != nil || child != nil && !seen[child.GetLocalId()] {
			return child, err
		}
	}
	design := s.space.Fit(spaces.Standard)
	for range steps {
		graph := s.space.Graph(design)
		if hash := plugin.CanonicalHash(graph); !seen[hash] {
			return &pb.Candidate{LocalId: hash, Graph: graph, Rationale: design.String()}, nil
		}
		design = s.space.Fit(design.Step(random))
	}
	return nil, nil
}

// child of the best of some parents, by one morphism; nil where that does not apply, or makes it too large.
func (s *search) child(random *rand.Rand) (*pb.Candidate, error) {
	best := s.parents[random.IntN(len(s.parents))]
	for range tournament - 1 {
		if other := s.parents[random.IntN(len(s.parents))]; other.value > best.value {
			best = other
		}
	}
	child := plugin.Child(best.candidate, morph(random, best.graph))
	graph, err := s.host.ApplyMorphs(best.graph, child.GetLineage()...)
	if errors.As(err, new(*plugin.Refused)) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	cost, err := s.host.EstimateCost(graph)
	if err != nil || float64(cost.GetParams()) > s.maxParams {
		return nil, err
	}
	child.LocalId = plugin.CanonicalHash(graph)
	child.Rationale = fmt.Sprintf("%s in %s: %d parameters", child.Lineage[0].Kind, best.candidate, cost.GetParams())
	return child, nil
}

// morph is a random one at a random node; the engine knows whether it applies there.
func morph(random *rand.Rand, graph *graphv1.Graph) *pb.Morph {
	isOther := func(node *graphv1.Node) bool { return node.GetOp() != "conv" }
	nodes, convs := graph.GetNodes(), slices.DeleteFunc(slices.Clone(graph.GetNodes()), isOther)
	anywhere, conv := nodes[random.IntN(len(nodes))].GetName(), convs[random.IntN(len(convs))]
	width, kernel := int(conv.GetAttributes()["channels"].GetInt()), int(conv.GetAttributes()["kernel"].GetInt())
	wider, seed := width+max(1, width*(1+random.IntN(4))/4), int(random.Int32())
	function := []string{"relu", "none"}[random.IntN(2)]
	return []*pb.Morph{
		plugin.Morph("widen", conv.GetName(), map[string]any{"width": wider, "seed": seed, "noise": noise}),
		plugin.Morph("widen_kernel", conv.GetName(), map[string]any{"kernel": kernel + 2}),
		plugin.Morph("deepen", anywhere, map[string]any{"norm": true, "function": function}),
		plugin.Morph("insert_skip", anywhere, map[string]any{"function": function, "seed": seed}),
		plugin.Morph("branch_and_insert", conv.GetName(), map[string]any{"norm": true, "function": function}),
	}[random.IntN(5)]
}

func (s *search) Ingest(events []*pb.Event) error {
	for _, event := range events {
		for _, proposed := range event.GetProposed().GetCandidates() {
			s.seen[proposed.GetCandidate().GetLocalId()] = true
			s.pending[proposed.GetId()] = proposed.GetCandidate().GetGraph()
		}
		delete(s.pending, event.GetRejected().GetCandidate())
		ended := event.GetEnded()
		if ended == nil || ended.GetWillRetry() {
			continue
		}
		s.ended, s.late = s.ended+1, s.late+1
		graph := s.pending[ended.GetCandidate()]
		delete(s.pending, ended.GetCandidate())
		if value, hasValue := plugin.Result(ended, s.metric); hasValue && graph != nil {
			found := result{ended.GetCandidate(), graph, value}
			s.parents = slices.Delete(append(s.parents, found), 0, max(0, len(s.parents)+1-population)) // the oldest die
			if s.best.candidate == "" || value > s.best.value {
				s.best, s.late = found, 0
			}
		}
	}
	return nil
}

func (s *search) Assess(*pb.Budget, []string) (*pb.AssessResponse, error) {
	verdict := pb.AssessResponse_VERDICT_CONTINUE
	if s.late >= s.patience && s.best.candidate == "" {
		verdict = pb.AssessResponse_VERDICT_STALLED
	} else if s.late >= s.patience {
		verdict = pb.AssessResponse_VERDICT_CONVERGED
	}
	reason := fmt.Sprintf("%s %.4g is the best of %d trials; %d came since", s.metric, s.best.value, s.ended, s.late)
	return plugin.Assessment(verdict, float64(s.late)/float64(s.patience), reason), nil
}

func main() { os.Exit(plugin.Serve(evolve{})) }
