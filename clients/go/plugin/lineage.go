package plugin

import pb "neunets.dev/go/neunets/synthesizer/v1"

// Child is a candidate that a lineage makes of an earlier one of the run, by the engine's id, with the weights that the
// parent's trial has left. It brings no graph: the engine derives it, and echoes the candidate with it.
func Child(parent string, lineage ...*pb.Morph) *pb.Candidate {
	return &pb.Candidate{Parents: []string{parent}, Lineage: lineage}
}

// Morph is a step of a lineage: the morphism `kind` ("widen", "deepen", ...) at a node. Arguments are int, float64, bool
// or string, and those that are left out have the morphism's defaults. It claims to keep the function, unless an
// argument adds noise.
func Morph(kind, node string, arguments map[string]any) *pb.Morph {
	noise, _ := arguments["noise"].(float64)
	return &pb.Morph{Kind: kind, Node: node, Args: attributesOf(arguments), FunctionPreserving: noise == 0}
}
