package plugin

import (
	"testing"

	"google.golang.org/protobuf/proto"

	graphv1 "neunets.dev/go/neunets/graph/v1"
	pb "neunets.dev/go/neunets/synthesizer/v1"
)

func TestMorphsSayWhatTheyAreAndWhatTheyKeep(t *testing.T) {
	for noise, keeps := range map[float64]bool{0: true, 0.01: false} {
		found := Morph("widen", "stem/conv", map[string]any{"width": 48, "noise": noise})
		expected := &pb.Morph{Kind: "widen", Node: "stem/conv", FunctionPreserving: keeps, Args: map[string]*graphv1.Attribute{
			"width": {Value: &graphv1.Attribute_Int{Int: 48}}, "noise": {Value: &graphv1.Attribute_Float{Float: noise}},
		}}
		if !proto.Equal(found, expected) {
			t.Errorf("%v is not %v", found, expected)
		}
	}
	if !Morph("branch", "conv", nil).GetFunctionPreserving() {
		t.Error("a morphism without noise keeps the function")
	}
}

func TestChildrenBringNoGraph(t *testing.T) {
	child := Child("c000002", Morph("branch", "conv", nil), Morph("widen_kernel", "conv2", map[string]any{"kernel": 5}))
	if child.GetGraph() != nil || len(child.GetLineage()) != 2 || child.GetParents()[0] != "c000002" {
		t.Error(child)
	}
}
