// Package spaces has search spaces that synthesizers may share.
package spaces

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	graphv1 "neunets.dev/go/neunets/graph/v1"
	pb "neunets.dev/go/neunets/synthesizer/v1"
	"neunets.dev/go/plugin"
)

// The axes of a design.
const (
	stages = iota
	blocks
	width
	growth
	kernel
	function
	pool
	axes
)

var choices = [axes][]any{
	stages:   {1, 2, 3, 4},
	blocks:   {1, 2, 3},
	width:    {2.0, 4.0, 8.0, 12.0, 16.0, 24.0, 32.0, 48.0, 64.0, 96.0, 128.0},
	growth:   {1.5, 2.0},
	kernel:   {3, 5, 7},
	function: {"relu", "leaky_relu", "silu", "gelu"},
	pool:     {"max_pool", "avg_pool"},
}

// What is made smaller, in this order, where a network breaks a bound.
var shrinking = [...]int{width, blocks, stages, kernel}

// Below half of this extent a convolution sees little but its padding, so nothing smaller is pooled.
const smallestPooled = 6

// Design is a network of a Chain: the index of a choice on each axis. It is comparable, and JSON keeps it.
type Design [axes]int

// Standard is what an experienced designer would try first, once it is fitted.
var Standard = Design{stages: 2, blocks: 1, width: 6, growth: 1}

// Step goes to a choice beside the present one, on one axis. The result may lie outside: Fit brings it back.
func (d Design) Step(random *rand.Rand) Design {
	d[random.IntN(axes)] += 2*random.IntN(2) - 1
	return d
}

// String describes a design that was fitted.
func (d Design) String() string {
	d = d.clipped()
	var chosen []any
	for axis, choice := range d {
		chosen = append(chosen, choices[axis][choice])
	}
	return fmt.Sprintf("%v stages of %v blocks, width %v growing by %v, kernel %v, %v, %v", chosen...)
}

func (d Design) clipped() Design {
	for axis := range d {
		d[axis] = min(max(d[axis], 0), len(choices[axis])-1)
	}
	return d
}

// Chain is the space of chains of convolution blocks, for images and sequences. A stage is some blocks of convolution,
// batch norm and activation, with a pool behind its first convolution, and more channels than the stage before.
type Chain struct {
	input     *graphv1.Input
	classes   int
	maxParams float64
}

// NewChain is the space of a problem. It refuses a problem with a hard bound that no network of the space keeps to, or
// that is on something else than the parameters.
func NewChain(problem *pb.Problem) (Chain, error) {
	maxParams, err := plugin.MaxParams(problem)
	if err != nil {
		return Chain{}, err
	}
	space := Chain{problem.GetInput(), int(problem.GetDataset().GetClasses()), maxParams}
	if smallest := space.params(space.normal(Design{})); smallest > maxParams {
		return Chain{}, plugin.Unsupported("the smallest network has %.0f parameters, more than %.0f: raise max_params to at "+
			"least %.0f", smallest, maxParams, smallest)
	}
	return space, nil
}

// Fit brings a design into the space, and shrinks it until its network keeps to the bound. Two designs that were fitted
// and differ are two different networks.
func (s Chain) Fit(design Design) Design {
	design = s.normal(design)
	for s.params(design) > s.maxParams {
		axis := slices.IndexFunc(shrinking[:], func(axis int) bool { return design[axis] > 0 })
		if axis < 0 {
			break // the smallest one: NewChain has looked at it
		}
		design[shrinking[axis]]--
		design = s.normal(design)
	}
	return design
}

// normal is the one spelling of a network: choices that make no difference are the first ones.
func (s Chain) normal(design Design) Design {
	design = design.clipped()
	design[stages] = min(design[stages], s.pools())
	if design[stages] == 0 {
		design[growth] = 0
	}
	if s.pools() == 0 {
		design[pool] = 0
	}
	return design
}

// Graph of a design that was fitted.
func (s Chain) Graph(design Design) *graphv1.Graph {
	graph := plugin.BuildGraph(s.input)
	for number, block := range s.convolutions(design) {
		scope := fmt.Sprintf("stage%d/block%d/", block.stage+1, number%(design[blocks]+1)+1)
		graph.Add(scope+"conv", "conv", map[string]any{"channels": block.outputs, "kernel": choices[kernel][design[kernel]]})
		if block.isPooled {
			graph.Add(scope+"pool", choices[pool][design[pool]].(string), map[string]any{"kernel": 2, "stride": 2})
		}
		graph.Add(scope+"norm", "batch_norm", nil)
		graph.Add(scope+"activation", "activation", map[string]any{"function": choices[function][design[function]]})
	}
	graph.Add("head/pool", "global_pool", map[string]any{"function": "avg"})
	graph.Add("head/logits", "linear", map[string]any{"units": s.classes})
	return graph.Graph()
}

type convolution struct {
	stage, inputs, outputs int
	isPooled               bool
}

func (s Chain) convolutions(design Design) []convolution {
	var found []convolution
	inputs := int(s.input.GetShape()[len(s.input.GetShape())-1])
	first, factor := choices[width][design[width]].(float64), choices[growth][design[growth]].(float64)
	for stage := range design[stages] + 1 {
		outputs := int(math.Round(first * math.Pow(factor, float64(stage))))
		for block := range design[blocks] + 1 {
			found = append(found, convolution{stage, inputs, outputs, block == 0 && stage < s.pools()})
			inputs = outputs
		}
	}
	return found
}

// params are the trainable ones. They are a float, since an input may have so many channels that integers overflow.
func (s Chain) params(design Design) float64 {
	rank := len(s.input.GetShape()) - 1
	taps := math.Pow(float64(choices[kernel][design[kernel]].(int)), float64(rank))
	sum, outputs := 0.0, 0
	for _, block := range s.convolutions(design) {
		outputs = block.outputs
		sum += (taps*float64(block.inputs) + 2) * float64(outputs) // with scale and shift of its norm
	}
	return sum + float64(s.classes)*float64(outputs+1)
}

// pools is how often the extents can be halved.
func (s Chain) pools() int {
	shape, count := s.input.GetShape(), 0
	for extent := slices.Min(shape[:len(shape)-1]); extent >= smallestPooled; extent /= 2 {
		count++
	}
	return count
}
