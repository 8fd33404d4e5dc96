package plugin

import (
	"fmt"

	graphv1 "neunets.dev/go/neunets/graph/v1"
)

// GraphBuilder makes a graph node by node.
type GraphBuilder struct {
	graph *graphv1.Graph
}

// BuildGraph begins a graph of a problem's input.
func BuildGraph(input *graphv1.Input) *GraphBuilder {
	return &GraphBuilder{&graphv1.Graph{Input: input, Output: input.GetName()}}
}

// Add a node, which reads the nodes of the names `inputs`; without any, the one before it. Its name is unique, with
// scopes separated by '/'; attributes are int, float64, bool or string.
func (b *GraphBuilder) Add(name, operator string, attributes map[string]any, inputs ...string) {
	if len(inputs) == 0 {
		inputs = []string{b.graph.Output}
	}
	node := &graphv1.Node{Name: name, Op: operator, Inputs: inputs, Attributes: attributesOf(attributes)}
	b.graph.Nodes = append(b.graph.Nodes, node)
	b.graph.Output = name
}

// Graph is the network so far: its last node is the output.
func (b *GraphBuilder) Graph() *graphv1.Graph { return b.graph }

func attributesOf(values map[string]any) map[string]*graphv1.Attribute {
	attributes := make(map[string]*graphv1.Attribute, len(values))
	for name, value := range values {
		attributes[name] = attributeOf(value)
	}
	return attributes
}

func attributeOf(value any) *graphv1.Attribute {
	switch value := value.(type) {
	case int:
		return &graphv1.Attribute{Value: &graphv1.Attribute_Int{Int: int64(value)}}
	case float64:
		return &graphv1.Attribute{Value: &graphv1.Attribute_Float{Float: value}}
	case bool:
		return &graphv1.Attribute{Value: &graphv1.Attribute_Bool{Bool: value}}
	}
	// The engine refuses text where it is none that the operator or the morphism knows.
	return &graphv1.Attribute{Value: &graphv1.Attribute_Text{Text: fmt.Sprint(value)}}
}
