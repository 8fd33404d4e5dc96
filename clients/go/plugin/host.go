package plugin

import (
	"context"
	"errors"
	"fmt"
	"strings"

	graphv1 "neunets.dev/go/neunets/graph/v1"
	pb "neunets.dev/go/neunets/synthesizer/v1"
)

// Host is the engine of a run, as its session asks it: a launched process over a socket, one on another host over
// mutual TLS. An answer depends on the question alone, so that a search that asks stays a fold over its events.
//
// A method fails with a *Refused where the engine refuses the network, with ErrNoHost in a process that knows no engine,
// and with a *neunets.Error where the call itself fails. Every call has a deadline.
type Host interface {
	// ApplyMorphs is the graph that a lineage makes of another.
	ApplyMorphs(graph *graphv1.Graph, lineage ...*pb.Morph) (*graphv1.Graph, error)
	// Derive is the graph that a lineage makes of a candidate that the run has admitted, by the engine's id.
	Derive(candidate string, lineage ...*pb.Morph) (*graphv1.Graph, error)
	// EstimateCost counts parameters, operations and bytes of a graph as the engine does.
	EstimateCost(graph *graphv1.Graph) (*pb.EstimateCostResponse, error)
	// ValidateGraph makes the checks that a proposed candidate's graph passes, but for duplicates.
	ValidateGraph(graph *graphv1.Graph) error
}

// HostUser is a session that asks the engine. UseHost is called once, before any other method.
type HostUser interface {
	UseHost(host Host)
}

// ErrNoHost is what every question ends with in a process that was started on its own, with NEUNETS_LISTEN alone.
var ErrNoHost = errors.New("this process was started apart from an engine, and has none to ask")

// Refused is a network that the engine does not take, or a step that leads to none.
type Refused struct {
	// Diagnostics say why; there is at least one.
	Diagnostics []*pb.Diagnostic
}

// Error has codes, paths and sentences.
func (r *Refused) Error() string {
	var why []string
	for _, each := range r.Diagnostics {
		why = append(why, fmt.Sprintf("%s %s: %s", each.GetCode(), each.GetPath(), each.GetSummary()))
	}
	return strings.Join(why, "; ")
}

// runHost is the host as one run sees it; without a client there is none.
type runHost struct {
	client pb.PluginHostClient
	run    string
}

func (h runHost) ApplyMorphs(graph *graphv1.Graph, lineage ...*pb.Morph) (*graphv1.Graph, error) {
	base := &pb.ApplyMorphsRequest_Graph{Graph: graph}
	return h.applied(&pb.ApplyMorphsRequest{Base: base, Run: h.run, Lineage: lineage})
}

func (h runHost) Derive(candidate string, lineage ...*pb.Morph) (*graphv1.Graph, error) {
	base := &pb.ApplyMorphsRequest_Candidate{Candidate: candidate}
	return h.applied(&pb.ApplyMorphsRequest{Base: base, Run: h.run, Lineage: lineage})
}

func (h runHost) applied(request *pb.ApplyMorphsRequest) (*graphv1.Graph, error) {
	if h.client == nil {
		return nil, ErrNoHost
	}
	answer, err := h.client.ApplyMorphs(context.Background(), request)
	if err != nil {
		return nil, err
	}
	if refused := answer.GetDiagnostics(); len(refused) > 0 {
		return nil, &Refused{refused}
	}
	return answer.GetGraph(), nil
}

func (h runHost) EstimateCost(graph *graphv1.Graph) (*pb.EstimateCostResponse, error) {
	if h.client == nil {
		return nil, ErrNoHost
	}
	return h.client.EstimateCost(context.Background(), &pb.EstimateCostRequest{Graph: graph})
}

func (h runHost) ValidateGraph(graph *graphv1.Graph) error {
	if h.client == nil {
		return ErrNoHost
	}
	answer, err := h.client.ValidateGraph(context.Background(), &pb.ValidateGraphRequest{Run: h.run, Graph: graph})
	if err != nil {
		return err
	}
	if refused := answer.GetDiagnostics(); len(refused) > 0 {
		return &Refused{refused}
	}
	return nil
}
