package plugin

import (
	"encoding/json"
	"maps"
	"math"
	"slices"

	"google.golang.org/protobuf/types/known/structpb"

	graphv1 "neunets.dev/go/neunets/graph/v1"
	pb "neunets.dev/go/neunets/synthesizer/v1"
)

// checkProblem refuses a problem that is not complete, or of a task that the synthesizer does not take.
func checkProblem(problem *pb.Problem, tasks []string) error {
	input := problem.GetInput()
	switch {
	case problem == nil:
		return BadField("problem", "unset")
	case problem.GetTask() == "":
		return BadField("problem.task", "unset")
	case !slices.Contains(tasks, problem.GetTask()):
		return Unsupported("this synthesizer takes %q, not %q", tasks, problem.GetTask())
	case input == nil:
		return BadField("problem.input", "unset")
	case len(input.GetShape()) < 2 || len(input.GetShape()) > 3 || slices.Contains(input.GetShape(), 0):
		return BadField("problem.input.shape", "%v is neither (H, W, C) nor (L, C)", input.GetShape())
	case input.GetDtype() != graphv1.DataType_DATA_TYPE_UINT8 && input.GetDtype() != graphv1.DataType_DATA_TYPE_FLOAT32:
		return BadField("problem.input.dtype", "%v is not known here", input.GetDtype())
	case problem.GetDataset().GetClasses() < 2:
		return BadField("problem.dataset.classes", "at least 2")
	}
	return nil
}

// settingsOf fills the schema's defaults in, and refuses what the schema does not name.
func settingsOf(schemaJSON string, given *structpb.Struct) (map[string]any, error) {
	var schema struct {
		Properties map[string]struct {
			Default any `json:"default"`
		} `json:"properties"`
	}
	if err := json.Unmarshal([]byte(schemaJSON), &schema); err != nil {
		return nil, err
	}
	settings := map[string]any{}
	for name, property := range schema.Properties {
		if property.Default != nil {
			settings[name] = property.Default
		}
	}
	for name := range given.GetFields() {
		if _, isKnown := schema.Properties[name]; !isKnown {
			known := slices.Sorted(maps.Keys(schema.Properties))
			return nil, BadField("settings."+name, "there is no such setting, but %q", known)
		}
	}
	maps.Copy(settings, given.AsMap())
	return settings, nil
}

// Metric is what a problem wants most of. It refuses a problem that wants the least of something.
func Metric(problem *pb.Problem) (string, error) {
	objectives := problem.GetObjectives()
	if len(objectives) == 0 {
		return "valid_accuracy", nil
	}
	if !objectives[0].GetMaximize() {
		return "", Unsupported("%s is to be minimised: this synthesizer only maximises", objectives[0].GetMetric())
	}
	return objectives[0].GetMetric(), nil
}

// MaxParams is the hard bound on a network's parameters; without one, infinity. It refuses other hard bounds.
func MaxParams(problem *pb.Problem) (float64, error) {
	limit := math.Inf(1)
	for _, bound := range problem.GetConstraints() {
		switch {
		case !bound.GetHard():
		case bound.GetMetric() != "params" || bound.Max == nil || bound.Min != nil:
			return 0, Unsupported("a hard bound on %s: this synthesizer only keeps to max_params", bound.GetMetric())
		default:
			limit = min(limit, bound.GetMax())
		}
	}
	return limit, nil
}

// Result is the metric of a trial that has one; its training may have been stopped early.
func Result(ended *pb.TrialEnded, metric string) (float64, bool) {
	value, isMeasured := ended.GetMetrics()[metric]
	hasEndedWell := ended.GetState() == pb.TrialEnded_STATE_SUCCEEDED || ended.GetState() == pb.TrialEnded_STATE_STOPPED
	return value, isMeasured && hasEndedWell && !math.IsNaN(value) && !math.IsInf(value, 0)
}
