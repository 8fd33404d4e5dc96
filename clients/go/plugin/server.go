package plugin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	pb "neunets.dev/go/neunets/synthesizer/v1"
)

const (
	longestDeadline = 24 * time.Hour
	largestWant     = 64
)

// server is the contract in front of a Synthesizer: epochs, sequence numbers, repeated requests.
type server struct {
	pb.UnimplementedSynthesizerServer
	synthesizer Synthesizer
	description *pb.DescribeResponse
	host        pb.PluginHostClient // nil: the process knows no engine
	guard       sync.Mutex
	runs        map[string]*openRun
}

// openRun is a run's session and who may enter it.
type openRun struct {
	session Session
	epoch   uint64
	// entered holds a value while a call is at work, which may be longer than its caller waits.
	entered chan struct{}
	// What follows belongs to the call that has entered.
	applied  uint64
	answered string // request id of `answer`
	answer   *pb.ProposeResponse
}

func newServer(synthesizer Synthesizer) *server {
	return &server{synthesizer: synthesizer, description: described(synthesizer), runs: map[string]*openRun{}}
}

// described fills in what a synthesizer leaves open.
func described(synthesizer Synthesizer) *pb.DescribeResponse {
	filled := &pb.DescribeResponse{
		Tasks:              []string{"image-classification", "sequence-classification"},
		SettingsSchemaJson: `{"type": "object", "additionalProperties": false}`,
		MaxOpenRuns:        1024,
		MaxBatch:           16,
		Ready:              true,
	}
	given := synthesizer.Describe()
	if len(given.GetTasks()) > 0 {
		filled.Tasks = nil // merging would append
	}
	proto.Merge(filled, given)
	filled.Ready = filled.GetNotReadyReason() == ""
	return filled
}

func (s *server) openRuns() uint32 {
	s.guard.Lock()
	defer s.guard.Unlock()
	return uint32(len(s.runs))
}

func (s *server) Describe(context.Context, *pb.DescribeRequest) (*pb.DescribeResponse, error) {
	return s.description, nil
}

func (s *server) Open(ctx context.Context, request *pb.OpenRequest) (*pb.OpenResponse, error) {
	if request.GetCall().GetRun() == "" {
		return nil, BadField("call.run", "unset")
	}
	if err := checkProblem(request.GetProblem(), s.description.GetTasks()); err != nil {
		return nil, err
	}
	settings, err := settingsOf(s.description.GetSettingsSchemaJson(), request.GetSettings())
	if err != nil {
		return nil, fault(err)
	}
	if request.GetCheckpoint() != nil {
		return nil, badCheckpoint()
	}
	session, err := within(ctx, func() (Session, error) {
		session, err := s.synthesizer.Open(request.GetProblem(), settings, request.GetSeed())
		if user, isOne := session.(HostUser); isOne && err == nil {
			user.UseHost(runHost{s.host, request.GetCall().GetRun()})
		}
		return session, err
	})
	if err != nil {
		return nil, err
	}
	effective, err := structpb.NewStruct(settings)
	if err != nil {
		return nil, fault(err)
	}
	if !request.GetValidateOnly() {
		if err := s.keep(request.GetCall(), session); err != nil {
			return nil, err
		}
	}
	return &pb.OpenResponse{EffectiveSettings: effective}, nil
}

// keep makes a session that of a run, in place of an earlier one.
func (s *server) keep(call *pb.Call, session Session) error {
	s.guard.Lock()
	defer s.guard.Unlock()
	before, isOpen := s.runs[call.GetRun()]
	if isOpen && call.GetEpoch() < before.epoch {
		return staleEpoch(before.epoch)
	}
	if !isOpen && uint32(len(s.runs)) >= s.description.GetMaxOpenRuns() {
		return busy(s.description.GetMaxOpenRuns())
	}
	s.runs[call.GetRun()] = &openRun{session: session, epoch: call.GetEpoch(), entered: make(chan struct{}, 1)}
	return nil
}

func (s *server) Propose(ctx context.Context, request *pb.ProposeRequest) (*pb.ProposeResponse, error) {
	run, err := s.run(request.GetCall())
	if err != nil {
		return nil, err
	}
	id, want := request.GetCall().GetRequestId(), request.GetWant()
	if id == "" {
		return nil, BadField("call.request_id", "unset")
	}
	if want < 1 || want > largestWant {
		return nil, BadField("want", "%d is not within 1..%d", want, largestWant)
	}
	return alone(ctx, run, func() (*pb.ProposeResponse, error) {
		if err := run.isUpToDate(request.GetCall()); err != nil {
			return nil, err
		}
		if run.answered != id || run.answer.GetBasedOnSeq() != run.applied {
			want := int(min(want, s.description.GetMaxBatch()))
			answer, err := run.session.Propose(want, request.GetBudget())
			if err != nil {
				return nil, err
			}
			if answer.GetOutcome() == nil {
				return nil, errors.New("Propose returned neither Proposals, nor Wait, nor Exhausted")
			}
			answer.BasedOnSeq = run.applied
			run.answered, run.answer = id, answer
		}
		if run.answer.GetWait() != nil {
			run.answered = "" // it will be asked again
		}
		return truncated(run.answer, int(want)), nil
	})
}

func (s *server) Ingest(ctx context.Context, request *pb.IngestRequest) (*pb.IngestResponse, error) {
	run, err := s.run(request.GetCall())
	if err != nil {
		return nil, err
	}
	return alone(ctx, run, func() (*pb.IngestResponse, error) {
		var fresh []*pb.Event
		for _, event := range request.GetEvents() {
			expected := run.applied + uint64(len(fresh)) + 1
			if event.GetSeq() > expected {
				return nil, sequenceGap(run.applied, "event %d is missing before event %d", expected, event.GetSeq())
			}
			if event.GetSeq() == expected {
				fresh = append(fresh, event)
			}
		}
		if len(fresh) > 0 {
			if err := guarded(func() error { return run.session.Ingest(fresh) }); err != nil {
				s.forget(request.GetCall().GetRun(), run) // nobody knows which events are in its state
				return nil, err
			}
		}
		run.applied += uint64(len(fresh))
		return &pb.IngestResponse{AppliedSeq: run.applied}, nil
	})
}

func (s *server) Assess(ctx context.Context, request *pb.AssessRequest) (*pb.AssessResponse, error) {
	run, err := s.run(request.GetCall())
	if err != nil {
		return nil, err
	}
	return alone(ctx, run, func() (*pb.AssessResponse, error) {
		if err := run.isUpToDate(request.GetCall()); err != nil {
			return nil, err
		}
		return run.session.Assess(request.GetBudget(), request.GetRunningTrials())
	})
}

func (s *server) Close(_ context.Context, request *pb.CloseRequest) (*pb.CloseResponse, error) {
	call := request.GetCall()
	if call.GetRun() == "" {
		return nil, BadField("call.run", "unset")
	}
	s.guard.Lock()
	defer s.guard.Unlock()
	if run, isOpen := s.runs[call.GetRun()]; isOpen && call.GetEpoch() < run.epoch {
		return nil, staleEpoch(run.epoch)
	}
	delete(s.runs, call.GetRun())
	return &pb.CloseResponse{}, nil
}

// run finds the open run that a call belongs to.
func (s *server) run(call *pb.Call) (*openRun, error) {
	name := call.GetRun()
	if name == "" {
		return nil, BadField("call.run", "unset")
	}
	s.guard.Lock()
	run, isOpen := s.runs[name]
	s.guard.Unlock()
	switch {
	case !isOpen:
		return nil, runNotOpen("run %s is not open here: open it and replay its events", name)
	case call.GetEpoch() < run.epoch:
		return nil, staleEpoch(run.epoch)
	case call.GetEpoch() > run.epoch:
		return nil, runNotOpen("run %s was opened by epoch %d: open it again", name, run.epoch)
	}
	return run, nil
}

func (s *server) forget(name string, run *openRun) {
	s.guard.Lock()
	defer s.guard.Unlock()
	if s.runs[name] == run {
		delete(s.runs, name)
	}
}

func (r *openRun) isUpToDate(call *pb.Call) error {
	if call.GetLogSeq() != r.applied {
		return sequenceGap(r.applied, "the log stands at %d, events up to %d came", call.GetLogSeq(), r.applied)
	}
	return nil
}

// truncated is an answer with at most `most` candidates.
func truncated(answer *pb.ProposeResponse, most int) *pb.ProposeResponse {
	candidates := answer.GetProposals().GetCandidates()
	if len(candidates) <= most {
		return answer
	}
	shorter := Proposals(candidates[:most]...)
	shorter.BasedOnSeq, shorter.Diagnostics = answer.GetBasedOnSeq(), answer.GetDiagnostics()
	return shorter
}

// alone does a run's work unless an earlier call is still at it.
func alone[Answer any](ctx context.Context, run *openRun, work func() (Answer, error)) (Answer, error) {
	select {
	case run.entered <- struct{}{}:
	default:
		var none Answer
		return none, inFlight()
	}
	return within(ctx, func() (Answer, error) {
		defer func() { <-run.entered }()
		return work()
	})
}

// within waits for work no longer than a call's time; work that takes longer ends behind the caller's back.
func within[Answer any](ctx context.Context, work func() (Answer, error)) (Answer, error) {
	var answer Answer
	done := make(chan error, 1)
	go func() {
		done <- guarded(func() (err error) {
			answer, err = work()
			return err
		})
	}()
	select {
	case err := <-done:
		return answer, err
	case <-ctx.Done():
		var none Answer
		return none, status.FromContextError(ctx.Err()).Err()
	}
}

// guarded makes a status of whatever an algorithm returns; a panic ends the call, not the process with all its runs.
func guarded(work func() error) (err error) {
	defer func() {
		if reason := recover(); reason != nil {
			slog.Error("the algorithm panicked", "reason", reason, "stack", string(debug.Stack()))
			err = fault(fmt.Errorf("panic: %v", reason))
		}
	}()
	if err := work(); err != nil {
		return fault(err)
	}
	return nil
}

// needDeadline refuses calls of the contract that have none.
func needDeadline(ctx context.Context, request any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	deadline, isSet := ctx.Deadline()
	isOurs := strings.HasPrefix(info.FullMethod, "/"+pb.Synthesizer_ServiceDesc.ServiceName+"/")
	if isOurs && (!isSet || time.Until(deadline) > longestDeadline) {
		return nil, BadField("deadline", "every call needs one of at most a day")
	}
	return handle(ctx, request)
}
