package spaces

import (
	"math/rand/v2"
	"testing"

	"google.golang.org/protobuf/proto"

	graphv1 "neunets.dev/go/neunets/graph/v1"
	pb "neunets.dev/go/neunets/synthesizer/v1"
)

func problem(maxParams float64, shape ...uint32) *pb.Problem {
	made := &pb.Problem{
		Input:   &graphv1.Input{Name: "image", Shape: shape, Dtype: graphv1.DataType_DATA_TYPE_UINT8},
		Dataset: &pb.DatasetProfile{Classes: 10},
	}
	if maxParams > 0 {
		made.Constraints = []*pb.Constraint{{Metric: "params", Max: &maxParams, Hard: true}}
	}
	return made
}

func space(t *testing.T, maxParams float64, shape ...uint32) Chain {
	t.Helper()
	made, err := NewChain(problem(maxParams, shape...))
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// parameters counts those of a graph by its nodes alone, for 2-D inputs.
func parameters(graph *graphv1.Graph) (sum int64) {
	channels := int64(graph.GetInput().GetShape()[2])
	for _, node := range graph.GetNodes() {
		switch attributes := node.GetAttributes(); node.GetOp() {
		case "conv":
			size, outputs := attributes["kernel"].GetInt(), attributes["channels"].GetInt()
			sum += size * size * channels * outputs
			channels = outputs
		case "batch_norm":
			sum += 2 * channels
		case "linear":
			sum += (channels + 1) * attributes["units"].GetInt()
		}
	}
	return sum
}

func TestStandardNetworkIsTheKnownOne(t *testing.T) {
	made := space(t, 0, 28, 28, 1)
	design := made.Fit(Standard)
	if text := design.String(); text != "3 stages of 2 blocks, width 32 growing by 2, kernel 3, relu, max_pool" {
		t.Error(text)
	}
	if count := made.params(design); count != 288170 {
		t.Errorf("%.0f parameters", count)
	}
}

func TestFittedDesignsKeepToTheBoundAndAreDifferentNetworks(t *testing.T) {
	for _, shape := range [][]uint32{{1, 1, 3}, {8, 8, 1}, {32, 20, 3}} {
		for _, maxParams := range []float64{150, 5_000, 0} {
			made, random := space(t, maxParams, shape...), rand.New(rand.NewPCG(1, 2))
			known, design := map[string]Design{}, Standard
			for range 2_000 {
				design = design.Step(random)
				fitted := made.Fit(design)
				if made.Fit(fitted) != fitted {
					t.Fatalf("%v is fitted, and fits to something else", fitted)
				}
				graph := made.Graph(fitted)
				if count := parameters(graph); float64(count) != made.params(fitted) || maxParams > 0 && float64(count) > maxParams {
					t.Fatalf("%v: %d parameters, it says %.0f, at most %.0f", fitted, count, made.params(fitted), maxParams)
				}
				spelling, err := proto.MarshalOptions{Deterministic: true}.Marshal(nameless(graph))
				if err != nil {
					t.Fatal(err)
				}
				if before, isKnown := known[string(spelling)]; isKnown && before != fitted {
					t.Fatalf("%v and %v are one network", before, fitted)
				}
				known[string(spelling)] = fitted
			}
		}
	}
}

// nameless is a chain without the names of its nodes, which do not tell networks apart.
func nameless(graph *graphv1.Graph) *graphv1.Graph {
	copied := proto.Clone(graph).(*graphv1.Graph)
	copied.Output = ""
	for _, node := range copied.GetNodes() {
		node.Name, node.Inputs = "", nil
	}
	return copied
}

func TestImpossibleBoundsAreRefused(t *testing.T) {
	if _, err := NewChain(problem(10, 8, 8, 1)); err == nil {
		t.Error("10 parameters are taken")
	}
	flops := 1e6
	other := problem(0, 8, 8, 1)
	other.Constraints = []*pb.Constraint{{Metric: "flops", Max: &flops, Hard: true}}
	if _, err := NewChain(other); err == nil {
		t.Error("a bound on operations is taken, and not kept")
	}
}

func TestUnknownDesignsAreBroughtIn(t *testing.T) {
	made := space(t, 0, 8, 8, 1)
	wild := Design{-5, 99, 99, 99, -1, 7, 2}
	if fitted := made.Fit(wild); made.Graph(fitted) == nil || wild.String() == "" {
		t.Error(fitted)
	}
}
