package plugin

import (
	"encoding/json"
	"os"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"

	graphv1 "neunets.dev/go/neunets/graph/v1"
)

// The engine's own tests check the hashes of this file.
func TestHashIsTheEngines(t *testing.T) {
	var networks []struct {
		What, SHA256 string
		Graph        json.RawMessage
	}
	content, err := os.ReadFile("testdata/networks.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(content, &networks); err != nil || len(networks) == 0 {
		t.Fatal(networks, err)
	}
	for _, network := range networks {
		graph := &graphv1.Graph{}
		if err := protojson.Unmarshal(network.Graph, graph); err != nil {
			t.Fatal(err)
		}
		if hash := CanonicalHash(graph); hash != network.SHA256 {
			t.Errorf("%s: %s is not %s", network.What, hash, network.SHA256)
		}
	}
}
