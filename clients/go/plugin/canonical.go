package plugin

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"math"
	"slices"

	graphv1 "neunets.dev/go/neunets/graph/v1"
)

// What a node may leave out, by its operator: the usual values of docs/operators.md.
var usual = map[string]map[string]any{
	"conv":           {"stride": 1, "padding": "same", "groups": 1, "dilation": 1, "bias": false},
	"separable_conv": {"stride": 1, "padding": "same", "bias": false},
	"linear":         {"bias": true},
	"batch_norm":     {"epsilon": 1e-5, "momentum": 0.1},
	"max_pool":       {"stride": 0, "padding": "valid"},
	"avg_pool":       {"stride": 0, "padding": "valid"},
}

// Attributes that are no integers even where they are spelled as one.
var fractions = []string{"epsilon", "momentum", "rate"}

// CanonicalHash is the engine's hash of a valid graph, by which it knows duplicates: one for all spellings of a network.
// Names, the order of the nodes, and attributes with their usual values do not count.
func CanonicalHash(graph *graphv1.Graph) string {
	input := digestOf(inputParts(graph.GetInput()))
	digests, everything := map[string][]byte{graph.GetInput().GetName(): input}, [][]byte{input}
	for _, node := range graph.GetNodes() {
		var read [][]byte
		for _, name := range node.GetInputs() {
			read = append(read, digests[name])
		}
		if node.GetOp() == "add" {
			slices.SortFunc(read, bytes.Compare)
		}
		digest := sha256.Sum256(append(framed(nodeParts(node)), framed(read)...))
		digests[node.GetName()], everything = digest[:], append(everything, digest[:])
	}
	slices.SortFunc(everything, bytes.Compare)
	return hex.EncodeToString(digestOf(append([][]byte{digests[graph.GetOutput()]}, everything...)))
}

func inputParts(input *graphv1.Input) [][]byte {
	dtype := "uint8"
	if input.GetDtype() == graphv1.DataType_DATA_TYPE_FLOAT32 {
		dtype = "float32"
	}
	parts := [][]byte{[]byte("input")}
	for _, extent := range input.GetShape() {
		parts = append(parts, spelled(int(extent)))
	}
	parts = append(parts, []byte(dtype))
	for _, value := range slices.Concat(input.GetMean(), input.GetStd()) {
		parts = append(parts, spelled(float64(value)))
	}
	return parts
}

func nodeParts(node *graphv1.Node) [][]byte {
	values := maps.Clone(usual[node.GetOp()])
	if values == nil {
		values = map[string]any{}
	}
	for name, attribute := range node.GetAttributes() {
		values[name] = valueOf(name, attribute)
	}
	parts := [][]byte{[]byte(node.GetOp())}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		parts = append(parts, append([]byte(name+"="), spelled(values[name])...))
	}
	return append(parts, []byte("|"))
}

func valueOf(name string, attribute *graphv1.Attribute) any {
	switch value := attribute.GetValue().(type) {
	case *graphv1.Attribute_Int:
		if slices.Contains(fractions, name) {
			return float64(value.Int)
		}
		return int(value.Int)
	case *graphv1.Attribute_Float:
		return value.Float
	case *graphv1.Attribute_Bool:
		return value.Bool
	}
	return attribute.GetText() // no operator has a list
}

// spelled with its type: 1, 1.0 and true are three values.
func spelled(value any) []byte {
	switch value := value.(type) {
	case float64:
		return binary.BigEndian.AppendUint64([]byte("f"), math.Float64bits(value))
	case bool:
		if value {
			return []byte("bool:True")
		}
		return []byte("bool:False")
	case int:
		return fmt.Appendf(nil, "int:%d", value)
	}
	return fmt.Appendf(nil, "str:%v", value)
}

func digestOf(parts [][]byte) []byte {
	digest := sha256.Sum256(framed(parts))
	return digest[:]
}

func framed(parts [][]byte) []byte {
	var joined []byte
	for _, part := range parts {
		joined = append(binary.BigEndian.AppendUint32(joined, uint32(len(part))), part...)
	}
	return joined
}
