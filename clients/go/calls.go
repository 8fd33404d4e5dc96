package neunets

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	servicev1 "neunets.dev/go/neunets/service/v1"
	synthesizerv1 "neunets.dev/go/neunets/synthesizer/v1"
)

const (
	usualDeadline   = time.Minute
	patientDeadline = time.Hour
	firstDelay      = 200 * time.Millisecond
	longestDelay    = 5 * time.Second
)

// Deadlines of calls that differ from the usual one; 0: none, since a heartbeat shows that the engine is there.
var deadlines = map[string]time.Duration{
	servicev1.Runs_Create_FullMethodName:                  10 * time.Second,
	servicev1.Runs_Watch_FullMethodName:                   0,
	servicev1.Models_WatchMetrics_FullMethodName:          0,
	servicev1.Models_Export_FullMethodName:                patientDeadline,
	servicev1.Models_Download_FullMethodName:              patientDeadline,
	servicev1.Datasets_Register_FullMethodName:            patientDeadline,
	servicev1.Synthesizers_Check_FullMethodName:           patientDeadline,
	synthesizerv1.PluginHost_Register_FullMethodName:      5 * time.Second,
	synthesizerv1.PluginHost_Renew_FullMethodName:         5 * time.Second,
	synthesizerv1.PluginHost_EstimateCost_FullMethodName:  10 * time.Second,
	synthesizerv1.PluginHost_ValidateGraph_FullMethodName: 10 * time.Second,
	synthesizerv1.PluginHost_ApplyMorphs_FullMethodName:   10 * time.Second,
}

// policy is the contract's table of retries.
type policy struct {
	// patience is how long an engine that is lost is tried again.
	patience time.Duration
	// deadline of a method, by its full name; 0: none.
	deadline func(method string) time.Duration
}

func deadlineOf(method string) time.Duration {
	if deadline, differs := deadlines[method]; differs {
		return deadline
	}
	return usualDeadline
}

// unary retries a call: UNAVAILABLE with exponential back-off, DEADLINE_EXCEEDED once with twice the time. All unary
// calls of NeuNetS may be repeated.
func (p policy) unary(
	ctx context.Context, method string, request, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker,
	options ...grpc.CallOption,
) error {
	deadline := p.deadline(method)
	isLate := false
	outage := p.outage()
	for {
		err := told(ctx, p.once(ctx, deadline, func(ctx context.Context) error {
			return invoke(ctx, method, request, reply, conn, options...)
		}))
		var failed *Error
		switch {
		case isLost(ctx, err):
			if !outage.wait(ctx, err) {
				return err
			}
		case errors.As(err, &failed) && failed.Code == codes.DeadlineExceeded && ctx.Err() == nil && !isLate:
			isLate, deadline = true, 2*deadline
		default:
			return err
		}
	}
}

func (p policy) once(ctx context.Context, deadline time.Duration, call func(context.Context) error) error {
	if deadline > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, deadline)
		defer cancel()
	}
	return call(ctx)
}

// stream gives a streaming call its deadline, and its errors their type. Whoever reads it resumes it.
func (p policy) stream(
	ctx context.Context, description *grpc.StreamDesc, conn *grpc.ClientConn, method string, streamer grpc.Streamer,
	options ...grpc.CallOption,
) (grpc.ClientStream, error) {
	var limited context.Context
	var cancel context.CancelFunc
	if deadline := p.deadline(method); deadline > 0 {
		limited, cancel = context.WithTimeout(ctx, deadline)
	} else {
		limited, cancel = context.WithCancel(ctx)
	}
	// gRPC ends the stream with its context, and calls this when the stream has ended otherwise.
	stream, err := streamer(limited, description, conn, method, append(options, grpc.OnFinish(func(error) { cancel() }))...)
	if err != nil {
		cancel()
		return nil, told(ctx, err)
	}
	return tellingStream{stream, ctx}, nil
}

// tellingStream is a stream whose errors are of the type *Error.
type tellingStream struct {
	grpc.ClientStream
	caller context.Context
}

func (s tellingStream) RecvMsg(message any) error {
	return told(s.caller, s.ClientStream.RecvMsg(message))
}

// outage counts the tries since the engine was lost.
type outage struct {
	patience time.Duration
	since    time.Time
	delay    time.Duration
}

func (p policy) outage() *outage { return &outage{patience: p.patience} }

// over tells that the engine has answered.
func (o *outage) over() { *o = outage{patience: o.patience} }

// wait until the next try: false where patience or the caller's time has run out.
func (o *outage) wait(ctx context.Context, err error) bool {
	if o.since.IsZero() {
		o.since = time.Now()
	}
	if time.Since(o.since) >= o.patience {
		return false
	}
	o.delay = min(max(2*o.delay, firstDelay), longestDelay)
	delay := time.Duration((0.5 + rand.Float64()/2) * float64(o.delay))
	var failed *Error
	if errors.As(err, &failed) {
		delay = max(delay, failed.retryDelay)
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
