// Command go-hillclimb is a synthesizer: hill climbing over chains of convolution blocks. The engine starts it.
package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"

	pb "neunets.dev/go/neunets/synthesizer/v1"
	"neunets.dev/go/plugin"
	"neunets.dev/go/plugin/spaces"
)

const schema = `{"type": "object", "additionalProperties": false, "properties": {"patience": {"type": "integer",
"minimum": 1, "default": 12, "description": "Results in a row without a better one after which it has converged."}}}`

// Draws of a neighbour before the space counts as empty; each `fartherAfter` of them go one step farther.
const draws, fartherAfter = 8192, 64

type hillClimb struct{}

func (hillClimb) Describe() *pb.DescribeResponse {
	return &pb.DescribeResponse{
		Name:               "go-hillclimb",
		Version:            "0.1.0",
		Summary:            "Hill climbing over chains of convolution blocks, in Go.",
		Capabilities:       []pb.Capability{pb.Capability_CAPABILITY_DETERMINISTIC},
		SettingsSchemaJson: schema,
		GraphOps:           []string{"activation", "avg_pool", "batch_norm", "conv", "global_pool", "linear", "max_pool"},
	}
}

func (hillClimb) Open(problem *pb.Problem, settings map[string]any, seed uint64) (plugin.Session, error) {
	patience, isNumber := settings["patience"].(float64)
	if !isNumber || patience < 1 {
		return nil, plugin.BadField("settings.patience", "%v is no number of at least 1", settings["patience"])
	}
	metric, err := plugin.Metric(problem)
	if err != nil {
		return nil, err
	}
	space, err := spaces.NewChain(problem)
	if err != nil {
		return nil, err
	}
	return &climb{
		space: space, seed: seed, patience: int(patience), metric: metric, best: space.Fit(spaces.Standard),
		seen: map[spaces.Design]bool{}, designs: map[string]spaces.Design{},
	}, nil
}

// climb is a fold over the events: candidate k depends on the seed, on k, and on the best network when it is proposed.
type climb struct {
	space    spaces.Chain
	seed     uint64
	patience int
	metric   string
	best     spaces.Design // the standard network until there is a result
	bestID   string
	value    float64                  // of the best one
	since    int                      // results after the best one
	seen     map[spaces.Design]bool   // all proposed ones: pending and failed ones are not proposed again either
	designs  map[string]spaces.Design // of candidates, by the engine's ids
}

func (c *climb) Propose(want int, _ *pb.Budget) (*pb.ProposeResponse, error) {
	var candidates []*pb.Candidate
	for seen := maps.Clone(c.seen); len(candidates) < want; {
		next, found := c.next(seen)
		if !found {
			break
		}
		seen[next] = true
		id, _ := json.Marshal(next) // integers: it cannot fail
		candidate := &pb.Candidate{LocalId: string(id), Graph: c.space.Graph(next), Rationale: next.String()}
		if c.bestID != "" {
			candidate.Parents = []string{c.bestID}
		}
		candidates = append(candidates, candidate)
	}
	if len(candidates) == 0 {
		return plugin.Exhausted("no network is found any more that was not tried"), nil
	}
	return plugin.Proposals(candidates...), nil
}

// next is the best network with one choice changed, or more where those are known; at first, the standard network.
func (c *climb) next(seen map[spaces.Design]bool) (spaces.Design, bool) {
	random := rand.New(rand.NewPCG(c.seed, uint64(len(seen))))
	for draw := range draws {
		next := c.best
		for range min(len(seen), 1+draw/fartherAfter) {
			next = next.Step(random)
		}
		if next = c.space.Fit(next); !seen[next] {
			return next, true
		}
	}
	return spaces.Design{}, false
}

func (c *climb) Ingest(events []*pb.Event) error {
	for _, event := range events {
		for _, proposed := range event.GetProposed().GetCandidates() {
			var design spaces.Design
			if json.Unmarshal([]byte(proposed.GetCandidate().GetLocalId()), &design) == nil {
				design = c.space.Fit(design)
				c.seen[design], c.designs[proposed.GetId()] = true, design
			}
		}
		if ended := event.GetEnded(); ended != nil && !ended.GetWillRetry() {
			c.learn(ended)
		}
	}
	return nil
}

func (c *climb) learn(ended *pb.TrialEnded) {
	c.since++
	design, isOurs := c.designs[ended.GetCandidate()]
	value, hasValue := plugin.Result(ended, c.metric)
	if isOurs && hasValue && (c.bestID == "" || value > c.value) {
		c.best, c.bestID, c.value, c.since = design, ended.GetCandidate(), value, 0
	}
}

func (c *climb) Assess(*pb.Budget, []string) (*pb.AssessResponse, error) {
	verdict, progress := pb.AssessResponse_VERDICT_CONTINUE, float64(c.since)/float64(c.patience)
	reason := fmt.Sprintf("%s has the best %s, %.4g; %d results came since", c.bestID, c.metric, c.value, c.since)
	switch {
	case c.bestID == "" && c.since >= c.patience:
		verdict, reason = pb.AssessResponse_VERDICT_STALLED, fmt.Sprintf("none of %d trials had a result", c.since)
	case c.bestID == "":
		reason = "there is no result yet"
	case c.since >= c.patience:
		verdict = pb.AssessResponse_VERDICT_CONVERGED
	}
	return plugin.Assessment(verdict, progress, reason), nil
}

func main() { os.Exit(plugin.Serve(hillClimb{})) }
