package neunets

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	servicev1 "neunets.dev/go/neunets/service/v1"
)

// silence is how long Watch waits for a message: the engine sends one every 15 s.
const silence = 40 * time.Second

// Spec says what to synthesize. What is zero is left to the engine; a budget or a number of trials has to be given.
type Spec struct {
	// Dataset is a name that Register gave: "datasets/SHA256".
	Dataset string
	// Synthesizer is the plugin that searches; "": random search.
	Synthesizer string
	// Settings are the synthesizer's own.
	Settings map[string]any
	// Budget is the wall time of search, final training and export.
	Budget time.Duration
	// Trials is how many networks the search may train.
	Trials uint32
	// MaxParams bounds the parameters of every network.
	MaxParams uint64
	Seed      uint64
	// Metric is what the best network is best in; "": "valid_accuracy".
	Metric string
	Mirror servicev1.RunSpec_Mirror
	// TrainOnValidation trains the final network on the validation rows, too.
	TrainOnValidation bool
	// RequestID is a UUID: two starts with the same one and the same rest give the same run. "": a new one, so that a
	// retry within Start makes no second run.
	RequestID string
}

func (s Spec) message() (*servicev1.RunSpec, error) {
	spec := &servicev1.RunSpec{
		Dataset: s.Dataset, Synthesizer: s.Synthesizer, Seed: s.Seed, Metric: s.Metric, Mirror: s.Mirror,
		TrainOnValidation: s.TrainOnValidation,
	}
	if s.Budget != 0 {
		spec.WallS = proto.Float64(s.Budget.Seconds())
	}
	if s.Trials != 0 {
		spec.Trials = proto.Uint32(s.Trials)
	}
	if s.MaxParams != 0 {
		spec.MaxParams = proto.Uint64(s.MaxParams)
	}
	if s.Settings != nil {
		settings, err := structpb.NewStruct(s.Settings)
		if err != nil {
			refused := status.New(codes.InvalidArgument, err.Error())
			return nil, &Error{
				Code: refused.Code(), Reason: "BAD_FIELD", Field: "spec.settings", Message: err.Error(), status: refused,
			}
		}
		spec.Settings = settings
	}
	return spec, nil
}

// Start begins a run.
func (c *Client) Start(ctx context.Context, spec Spec) (*servicev1.Run, error) {
	message, err := spec.message()
	if err != nil {
		return nil, err
	}
	id := spec.RequestID
	if id == "" {
		id = newUUID()
	}
	return c.runs.Create(ctx, &servicev1.CreateRunRequest{RequestId: id, Spec: message})
}

// Get reads a run as it is now.
func (c *Client) Get(ctx context.Context, run string) (*servicev1.Run, error) {
	return c.runs.Get(ctx, &servicev1.GetRunRequest{Name: run})
}

// Stop ends a run: with MODE_FINISH the best network so far is exported, with MODE_ABORT nothing is.
func (c *Client) Stop(ctx context.Context, run string, mode servicev1.StopRunRequest_Mode) (*servicev1.Run, error) {
	return c.runs.Stop(ctx, &servicev1.StopRunRequest{Name: run, Mode: mode})
}

// IsFinal tells whether nothing more happens in a run of this state by itself: it has ended, or it is paused.
func IsFinal(state servicev1.RunState) bool {
	switch state {
	case servicev1.RunState_RUN_STATE_COMPLETED, servicev1.RunState_RUN_STATE_STOPPED,
		servicev1.RunState_RUN_STATE_FAILED, servicev1.RunState_RUN_STATE_PAUSED:
		return true
	}
	return false
}

// Watch gives every event of a run after the one of sequence number `after` (0: all of them), each with the run as it
// was then, until the run has ended or is paused. A lost engine is found again: there is neither gap nor repeat.
// An error is the last that it gives.
func (c *Client) Watch(ctx context.Context, run string, after uint64) iter.Seq2[*servicev1.WatchRunResponse, error] {
	return func(yield func(*servicev1.WatchRunResponse, error) bool) {
		outage := c.policy.outage()
		seq := after
		for {
			isWanted := true
			err := c.watch(ctx, run, seq, func(response *servicev1.WatchRunResponse) bool {
				outage.over()
				if response.GetEvent() == nil {
					return true
				}
				seq = response.GetEvent().GetSeq()
				isWanted = yield(response, nil)
				return isWanted
			})
			if !isWanted {
				return
			}
			if err == nil {
				// The engine ends the stream with the run; or because it is being stopped itself.
				var now *servicev1.Run
				now, err = c.Get(ctx, run)
				if err == nil && IsFinal(now.GetState()) && now.GetSeq() <= seq {
					return
				}
			}
			if err != nil && !(isLost(ctx, err) && outage.wait(ctx, err)) {
				yield(nil, err)
				return
			}
		}
	}
}

// watch hands on each message of one stream until it ends, or until `take` wants no more.
func (c *Client) watch(
	ctx context.Context, run string, after uint64, take func(*servicev1.WatchRunResponse) bool,
) error {
	listening, cancel := context.WithCancel(ctx)
	defer cancel()
	watchdog := time.AfterFunc(silence, cancel)
	defer watchdog.Stop()
	stream, err := c.runs.Watch(listening, &servicev1.WatchRunRequest{Name: run, AfterSeq: after})
	if err != nil {
		return err
	}
	for {
		response, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil && listening.Err() != nil && ctx.Err() == nil {
			silent := status.Newf(codes.Unavailable, "the engine was silent for %s", silence)
			return &Error{Code: silent.Code(), Message: silent.Message(), status: silent}
		}
		if err != nil {
			return err
		}
		watchdog.Stop() // what the caller does with it takes as long as it takes
		if !take(response) {
			return nil
		}
		watchdog.Reset(silence)
	}
}

// Wait until a run has ended or is paused. That it failed is no error: the run says so, with its reason.
func (c *Client) Wait(ctx context.Context, run string) (*servicev1.Run, error) {
	now, err := c.Get(ctx, run)
	if err != nil || IsFinal(now.GetState()) {
		return now, err
	}
	for _, err := range c.Watch(ctx, run, now.GetSeq()) {
		if err != nil {
			return nil, err
		}
	}
	return c.Get(ctx, run)
}

// newUUID is a random one, version 4.
func newUUID() string {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
}

// ended makes an error of a stream that ended too early, which is worth another try.
func ended(err error) error {
	if errors.Is(err, io.EOF) {
		early := status.New(codes.Unavailable, "the stream ended too early")
		return &Error{Code: early.Code(), Message: early.Message(), status: early}
	}
	return err
}
