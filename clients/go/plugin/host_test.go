package plugin

import (
	"context"
	"errors"
	"net"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	graphv1 "neunets.dev/go/neunets/graph/v1"
	pb "neunets.dev/go/neunets/synthesizer/v1"
)

// engine answers as an engine does that knows one run, with one candidate; a morphism only renames the output.
type engine struct {
	pb.UnimplementedPluginHostServer
}

func (engine) ApplyMorphs(ctx context.Context, request *pb.ApplyMorphsRequest) (*pb.ApplyMorphsResponse, error) {
	if _, isSet := ctx.Deadline(); !isSet {
		return nil, status.Error(codes.InvalidArgument, "a call without a deadline")
	}
	output := request.GetGraph().GetOutput()
	if request.GetGraph() == nil {
		if request.GetRun() != "run" || request.GetCandidate() != "c000001" {
			return nil, status.Error(codes.NotFound, "there is no such candidate")
		}
		output = "logits"
	}
	for _, morph := range request.GetLineage() {
		if morph.GetKind() == "unheard of" {
			why := &pb.Diagnostic{Code: "BAD_MORPH", Path: "lineage[0]", Summary: "no such morphism"}
			return &pb.ApplyMorphsResponse{Diagnostics: []*pb.Diagnostic{why}}, nil
		}
		output += " " + morph.GetKind()
	}
	return &pb.ApplyMorphsResponse{Graph: &graphv1.Graph{Output: output}}, nil
}

func (engine) EstimateCost(context.Context, *pb.EstimateCostRequest) (*pb.EstimateCostResponse, error) {
	return &pb.EstimateCostResponse{Params: 7, Flops: 8, ActivationBytes: 9}, nil
}

func (engine) ValidateGraph(_ context.Context, request *pb.ValidateGraphRequest) (*pb.ValidateGraphResponse, error) {
	answer := &pb.ValidateGraphResponse{}
	if request.GetRun() != "run" || request.GetGraph().GetOutput() == "" {
		answer.Diagnostics = []*pb.Diagnostic{{Code: "BAD_GRAPH", Path: "output", Summary: "unset"}}
	}
	return answer, nil
}

// asking keeps the host of its run, and proposes what the engine makes of a candidate.
type asking struct {
	count
	host      Host
	candidate string
}

func (a *asking) Open(*pb.Problem, map[string]any, uint64) (Session, error) { return a, nil }

func (a *asking) UseHost(host Host) { a.host = host }

func (a *asking) Propose(int, *pb.Budget) (*pb.ProposeResponse, error) {
	graph, err := a.host.Derive(a.candidate, Morph("branch", "conv", nil))
	return Proposals(&pb.Candidate{Graph: graph}), err
}

// opens a run whose synthesizer may ask an engine on a socket, and gives both.
func opens(t *testing.T, candidate string) (*server, *asking) {
	t.Helper()
	socket := t.TempDir() + "/engine.sock"
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	answering := grpc.NewServer()
	pb.RegisterPluginHostServer(answering, engine{})
	go answering.Serve(listener)
	t.Cleanup(answering.Stop)
	registered := &registration{place: &place{host: "unix:" + socket}}
	if err := registered.dial(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { registered.conn.Close() })
	session := &asking{candidate: candidate}
	served := newServer(session)
	served.host = registered.host
	if _, err := served.Open(soon(t), opening("run", nil)); err != nil {
		t.Fatal(err)
	}
	return served, session
}

func TestSessionsAskTheEngineAboutTheirRun(t *testing.T) {
	_, session := opens(t, "c000001")
	steps := []*pb.Morph{Morph("widen", "conv", map[string]any{"width": 8}), Morph("branch", "conv", nil)}
	graph, err := session.host.ApplyMorphs(&graphv1.Graph{Output: "head"}, steps...)
	if err != nil || graph.GetOutput() != "head widen branch" {
		t.Error(graph, err)
	}
	graph, err = session.host.Derive("c000001", steps...)
	if err != nil || graph.GetOutput() != "logits widen branch" {
		t.Error(graph, err)
	}
	if cost, err := session.host.EstimateCost(graph); err != nil || cost.GetParams() != 7 {
		t.Error(cost, err)
	}
	if err := session.host.ValidateGraph(graph); err != nil {
		t.Error(err)
	}
}

func TestRefusalsSayWhy(t *testing.T) {
	_, session := opens(t, "c000001")
	graph, err := session.host.ApplyMorphs(&graphv1.Graph{}, Morph("unheard of", "conv", nil))
	var refused *Refused
	if !errors.As(err, &refused) || graph != nil || refused.Diagnostics[0].GetCode() != "BAD_MORPH" {
		t.Error(graph, err)
	}
	if err := session.host.ValidateGraph(&graphv1.Graph{}); !errors.As(err, &refused) ||
		err.Error() != "BAD_GRAPH output: unset" {
		t.Error(err)
	}
}

func TestWhatTheEngineAnswersIsNoAnswerToTheEngine(t *testing.T) {
	for candidate, code := range map[string]codes.Code{"c000001": codes.OK, "c000002": codes.Internal} {
		served, _ := opens(t, candidate)
		_, err := served.Propose(soon(t), &pb.ProposeRequest{Call: call("run", 0), Want: 1})
		if status.Code(err) != code {
			t.Errorf("%v is not %v", err, code)
		}
	}
}

func TestAProcessOfItsOwnHasNoEngineToAsk(t *testing.T) {
	session := &asking{}
	if _, err := newServer(session).Open(soon(t), opening("run", nil)); err != nil {
		t.Fatal(err)
	}
	_, derived := session.host.Derive("c000001")
	_, applied := session.host.ApplyMorphs(&graphv1.Graph{})
	_, estimated := session.host.EstimateCost(&graphv1.Graph{})
	for _, err := range []error{derived, applied, estimated, session.host.ValidateGraph(&graphv1.Graph{})} {
		if !errors.Is(err, ErrNoHost) {
			t.Error(err)
		}
	}
}
