package plugin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/structpb"

	neunets "neunets.dev/go"
	graphv1 "neunets.dev/go/neunets/graph/v1"
	pb "neunets.dev/go/neunets/synthesizer/v1"
)

// counting proposes candidates that are numbered by the events before them. Its setting says how it misbehaves.
type counting struct{ entered chan struct{} }

func (counting) Describe() *pb.DescribeResponse {
	return &pb.DescribeResponse{
		Name: "counting", MaxOpenRuns: 2, MaxBatch: 4, Tasks: []string{"image-classification"},
		SettingsSchemaJson: `{"properties": {"manner": {"type": "string", "default": "good"}}}`,
	}
}

func (c counting) Open(_ *pb.Problem, settings map[string]any, _ uint64) (Session, error) {
	return &count{c, settings["manner"], 0}, nil
}

type count struct {
	counting
	manner any
	events int
}

func (c *count) Propose(want int, budget *pb.Budget) (*pb.ProposeResponse, error) {
	switch c.manner {
	case "slow":
		c.entered <- struct{}{}
		<-c.entered
	case "silent":
		return &pb.ProposeResponse{}, nil
	case "waiting":
		return Wait(1, time.Second, "not yet"), nil
	case "failing":
		return nil, errors.New("no idea")
	}
	var candidates []*pb.Candidate
	for number := range want {
		candidates = append(candidates, &pb.Candidate{LocalId: fmt.Sprintf("%d-%d-%v", c.events, number, budget.GetTrials())})
	}
	return Proposals(candidates...), nil
}

func (c *count) Ingest(events []*pb.Event) error {
	c.events += len(events)
	if c.manner == "panicking" {
		panic("half of the events are in the state")
	}
	return nil
}

func (c *count) Assess(*pb.Budget, []string) (*pb.AssessResponse, error) {
	return Assessment(pb.AssessResponse_VERDICT_CONTINUE, float64(c.events), "counting"), nil
}

func serving(t *testing.T) (pb.SynthesizerClient, chan struct{}) {
	t.Helper()
	listener, err := net.Listen("unix", t.TempDir()+"/s")
	if err != nil {
		t.Fatal(err)
	}
	entered := make(chan struct{})
	answering := grpc.NewServer(grpc.UnaryInterceptor(needDeadline))
	pb.RegisterSynthesizerServer(answering, newServer(counting{entered}))
	go answering.Serve(listener)
	t.Cleanup(answering.Stop)
	conn, err := grpc.NewClient("unix:"+listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return pb.NewSynthesizerClient(conn), entered
}

func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func call(run string, applied uint64) *pb.Call {
	return &pb.Call{Run: run, Epoch: 7, RequestId: "request", LogSeq: applied}
}

func opening(run string, settings map[string]any) *pb.OpenRequest {
	given, _ := structpb.NewStruct(settings)
	input := &graphv1.Input{Name: "image", Shape: []uint32{8, 8, 1}, Dtype: graphv1.DataType_DATA_TYPE_UINT8}
	return &pb.OpenRequest{
		Call: call(run, 0), Settings: given,
		Problem: &pb.Problem{Task: "image-classification", Input: input, Dataset: &pb.DatasetProfile{Classes: 10}},
	}
}

func opened(t *testing.T, client pb.SynthesizerClient, manner string) {
	t.Helper()
	if _, err := client.Open(soon(t), opening("run", map[string]any{"manner": manner})); err != nil {
		t.Fatal(err)
	}
}

func events(first, last uint64) []*pb.Event {
	var made []*pb.Event
	for seq := first; seq <= last; seq++ {
		made = append(made, &pb.Event{Seq: seq})
	}
	return made
}

// refused checks code, domain and reason, and gives the metadata.
func refused(t *testing.T, err error, code codes.Code, reason string) map[string]string {
	t.Helper()
	found := status.Convert(err)
	var gotReason string
	var metadata map[string]string
	for _, detail := range found.Details() {
		if info, isInfo := detail.(interface {
			GetDomain() string
			GetReason() string
			GetMetadata() map[string]string
		}); isInfo && info.GetDomain() == neunets.Domain {
			gotReason, metadata = info.GetReason(), info.GetMetadata()
		}
	}
	if found.Code() != code || gotReason != reason {
		t.Fatalf("%v/%s is not %v/%s: %s", found.Code(), gotReason, code, reason, found.Message())
	}
	return metadata
}

func TestSettingsHaveTheirDefaults(t *testing.T) {
	client, _ := serving(t)
	answer, err := client.Open(soon(t), opening("run", nil))
	if err != nil || answer.GetEffectiveSettings().AsMap()["manner"] != "good" {
		t.Errorf("%v, %v", answer, err)
	}
}

func TestIncompleteProblemsAreRefusedByPath(t *testing.T) {
	client, _ := serving(t)
	for path, spoil := range map[string]func(*pb.OpenRequest){
		"call.run":                func(r *pb.OpenRequest) { r.Call.Run = "" },
		"problem":                 func(r *pb.OpenRequest) { r.Problem = nil },
		"problem.task":            func(r *pb.OpenRequest) { r.Problem.Task = "" },
		"problem.input":           func(r *pb.OpenRequest) { r.Problem.Input = nil },
		"problem.input.shape":     func(r *pb.OpenRequest) { r.Problem.Input.Shape = []uint32{8} },
		"problem.input.dtype":     func(r *pb.OpenRequest) { r.Problem.Input.Dtype = 99 },
		"problem.dataset.classes": func(r *pb.OpenRequest) { r.Problem.Dataset = nil },
		"settings.unknown":        func(r *pb.OpenRequest) { r.Settings, _ = structpb.NewStruct(map[string]any{"unknown": 1}) },
	} {
		request := opening("run", nil)
		spoil(request)
		_, err := client.Open(soon(t), request)
		if found := refused(t, err, codes.InvalidArgument, "BAD_FIELD")["field"]; found != path {
			t.Errorf("%q is named in place of %q", found, path)
		}
	}
}

func TestOtherTasksAreUnsupported(t *testing.T) {
	client, _ := serving(t)
	request := opening("run", nil)
	request.Problem.Task = "sequence-classification"
	_, err := client.Open(soon(t), request)
	refused(t, err, codes.FailedPrecondition, "UNSUPPORTED_PROBLEM")
}

func TestCheckpointsAreRefused(t *testing.T) {
	client, _ := serving(t)
	request := opening("run", nil)
	request.Checkpoint = &pb.Checkpoint{Seq: 3}
	_, err := client.Open(soon(t), request)
	refused(t, err, codes.DataLoss, "BAD_CHECKPOINT")
}

func TestOpenThatOnlyValidatesOpensNothing(t *testing.T) {
	client, _ := serving(t)
	request := opening("run", nil)
	request.ValidateOnly = true
	if _, err := client.Open(soon(t), request); err != nil {
		t.Fatal(err)
	}
	_, err := client.Assess(soon(t), &pb.AssessRequest{Call: call("run", 0)})
	refused(t, err, codes.FailedPrecondition, "RUN_NOT_OPEN")
}

func TestNoMoreRunsThanDescribedAreOpen(t *testing.T) {
	client, _ := serving(t)
	for _, run := range []string{"one", "two", "two"} {
		if _, err := client.Open(soon(t), opening(run, nil)); err != nil {
			t.Fatal(err)
		}
	}
	_, err := client.Open(soon(t), opening("three", nil))
	refused(t, err, codes.ResourceExhausted, "BUSY")
	if _, err := client.Close(soon(t), &pb.CloseRequest{Call: call("one", 0)}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Open(soon(t), opening("three", nil)); err != nil {
		t.Error(err)
	}
}

func TestEpochsFence(t *testing.T) {
	client, _ := serving(t)
	opened(t, client, "good")
	older, newer := call("run", 0), call("run", 0)
	older.Epoch, newer.Epoch = 6, 8
	_, err := client.Propose(soon(t), &pb.ProposeRequest{Call: older, Want: 1})
	if epoch := refused(t, err, codes.Aborted, "STALE_EPOCH")["epoch"]; epoch != "7" {
		t.Errorf("epoch %s has the run", epoch)
	}
	_, err = client.Close(soon(t), &pb.CloseRequest{Call: older})
	refused(t, err, codes.Aborted, "STALE_EPOCH")
	request := opening("run", nil)
	request.Call = older
	_, err = client.Open(soon(t), request)
	refused(t, err, codes.Aborted, "STALE_EPOCH")
	_, err = client.Propose(soon(t), &pb.ProposeRequest{Call: newer, Want: 1})
	refused(t, err, codes.FailedPrecondition, "RUN_NOT_OPEN")
}

func TestEventsCountOnceAndInOrder(t *testing.T) {
	client, _ := serving(t)
	opened(t, client, "good")
	for _, batch := range [][]*pb.Event{events(1, 3), events(1, 3), events(2, 5), nil} {
		if _, err := client.Ingest(soon(t), &pb.IngestRequest{Call: call("run", 0), Events: batch}); err != nil {
			t.Fatal(err)
		}
	}
	_, err := client.Ingest(soon(t), &pb.IngestRequest{Call: call("run", 0), Events: events(7, 8)})
	if applied := refused(t, err, codes.OutOfRange, "SEQ_GAP")["applied_seq"]; applied != "5" {
		t.Errorf("event %s was the last", applied)
	}
	_, err = client.Propose(soon(t), &pb.ProposeRequest{Call: call("run", 4), Want: 1})
	refused(t, err, codes.OutOfRange, "SEQ_GAP")
	answer, err := client.Propose(soon(t), &pb.ProposeRequest{Call: call("run", 5), Want: 1})
	if err != nil || answer.GetBasedOnSeq() != 5 || answer.GetProposals().GetCandidates()[0].GetLocalId() != "5-0-0" {
		t.Errorf("%v, %v", answer, err)
	}
}

func TestRepeatedRequestsHaveTheSameAnswer(t *testing.T) {
	client, _ := serving(t)
	opened(t, client, "good")
	trials := uint32(1)
	for _, want := range []uint32{64, 4, 2} {
		trials++ // the budget changes between two tries
		request := &pb.ProposeRequest{Call: call("run", 0), Want: want, Budget: &pb.Budget{Trials: &trials}}
		answer, err := client.Propose(soon(t), request)
		if err != nil {
			t.Fatal(err)
		}
		if candidates := answer.GetProposals().GetCandidates(); len(candidates) != int(min(want, 4)) {
			t.Errorf("%d candidates, %d were wanted, at most 4 are in a batch", len(candidates), want)
		} else if candidates[0].GetLocalId() != "0-0-2" {
			t.Errorf("the second answer is %s", candidates[0].GetLocalId())
		}
	}
	for _, want := range []uint32{0, 65} {
		_, err := client.Propose(soon(t), &pb.ProposeRequest{Call: call("run", 0), Want: want})
		refused(t, err, codes.InvalidArgument, "BAD_FIELD")
	}
}

func TestCallsOfOneRunAreAloneAndDeadlinesKept(t *testing.T) {
	client, entered := serving(t)
	opened(t, client, "slow")
	ctx, giveUp := context.WithCancel(soon(t))
	given := make(chan error)
	go func() {
		_, err := client.Propose(ctx, &pb.ProposeRequest{Call: call("run", 0), Want: 1})
		given <- err
	}()
	<-entered
	_, err := client.Assess(soon(t), &pb.AssessRequest{Call: call("run", 0)})
	refused(t, err, codes.Aborted, "IN_FLIGHT")
	giveUp()
	if err := <-given; status.Code(err) != codes.Canceled {
		t.Errorf("%v is not CANCELLED", err)
	}
	_, err = client.Assess(soon(t), &pb.AssessRequest{Call: call("run", 0)})
	refused(t, err, codes.Aborted, "IN_FLIGHT") // the work goes on behind its caller's back
	entered <- struct{}{}
	for { // until it has left
		answer, err := client.Propose(soon(t), &pb.ProposeRequest{Call: call("run", 0), Want: 1})
		if err == nil {
			if answer.GetProposals().GetCandidates()[0].GetLocalId() != "0-0-0" {
				t.Errorf("its answer is not kept: %v", answer)
			}
			return
		}
		refused(t, err, codes.Aborted, "IN_FLIGHT")
	}
}

func TestFaultsOfTheAlgorithmAreInternal(t *testing.T) {
	for _, manner := range []string{"silent", "failing"} {
		client, _ := serving(t)
		opened(t, client, manner)
		_, err := client.Propose(soon(t), &pb.ProposeRequest{Call: call("run", 0), Want: 1})
		refused(t, err, codes.Internal, "INTERNAL")
	}
}

func TestPanicInIngestNeedsAReplay(t *testing.T) {
	client, _ := serving(t)
	opened(t, client, "panicking")
	_, err := client.Ingest(soon(t), &pb.IngestRequest{Call: call("run", 0), Events: events(1, 2)})
	refused(t, err, codes.Internal, "INTERNAL")
	_, err = client.Ingest(soon(t), &pb.IngestRequest{Call: call("run", 0), Events: events(1, 2)})
	refused(t, err, codes.FailedPrecondition, "RUN_NOT_OPEN")
}

func TestWaitIsAskedAgain(t *testing.T) {
	client, _ := serving(t)
	opened(t, client, "waiting")
	for range 2 {
		answer, err := client.Propose(soon(t), &pb.ProposeRequest{Call: call("run", 0), Want: 1})
		if err != nil || answer.GetWait().GetReason() != "not yet" {
			t.Fatalf("%v, %v", answer, err)
		}
	}
}

func TestProgressIsWithinItsRange(t *testing.T) {
	client, _ := serving(t)
	opened(t, client, "good")
	if _, err := client.Ingest(soon(t), &pb.IngestRequest{Call: call("run", 0), Events: events(1, 9)}); err != nil {
		t.Fatal(err)
	}
	answer, err := client.Assess(soon(t), &pb.AssessRequest{Call: call("run", 9)})
	if err != nil || answer.GetProgress() != 1 {
		t.Errorf("%v, %v", answer, err)
	}
}

func TestCallsWithoutADeadlineAreRefused(t *testing.T) {
	client, _ := serving(t)
	_, err := client.Describe(t.Context(), &pb.DescribeRequest{})
	refused(t, err, codes.InvalidArgument, "BAD_FIELD")
}

func TestLongMessagesStayBelowTheTrailersLimit(t *testing.T) {
	client, _ := serving(t)
	request := opening("run", nil)
	request.Problem.Task = strings.Repeat("ß", 1<<15)
	_, err := client.Open(soon(t), request)
	refused(t, err, codes.FailedPrecondition, "UNSUPPORTED_PROBLEM")
}
