package neunets

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Domain is that of every ErrorInfo in NeuNetS.
const Domain = "synthesizer.neunets"

// Error is what the engine answered in place of a result, or what became of the connection to it.
type Error struct {
	// Code is gRPC's: NotFound, InvalidArgument, FailedPrecondition, ...
	Code codes.Code
	// Reason is stable and upper case ("BAD_FIELD", "ILLEGAL_TRANSITION"); empty where the transport failed.
	Reason string
	// Field is the path of the first field that was refused ("spec.trials"), if one was.
	Field string
	// Message is a sentence for people.
	Message string
	// Metadata belongs to the reason: "applied_seq", "state", ...
	Metadata map[string]string

	status     *status.Status
	cause      error
	retryDelay time.Duration
}

// Error names the reason, or the code where there is none.
func (e *Error) Error() string {
	if e.Reason != "" {
		return fmt.Sprintf("%s: %s", e.Reason, e.Message)
	}
	return fmt.Sprintf("%s: %s", e.Code, e.Message)
}

// GRPCStatus makes [status.FromError] and [status.Code] work.
func (e *Error) GRPCStatus() *status.Status { return e.status }

// Unwrap gives the context's error where the caller's own context ended the call.
func (e *Error) Unwrap() error { return e.cause }

// told turns what a call on ctx returned into an *Error; nil and io.EOF stay what they are.
func told(ctx context.Context, err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	var known *Error
	if errors.As(err, &known) {
		return err
	}
	answer := status.Convert(err)
	made := &Error{Code: answer.Code(), Message: answer.Message(), status: answer, cause: ctx.Err()}
	for _, detail := range answer.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			if detail.GetDomain() == Domain {
				made.Reason, made.Metadata = detail.GetReason(), detail.GetMetadata()
			}
		case *errdetails.BadRequest:
			if violations := detail.GetFieldViolations(); len(violations) > 0 {
				made.Field = violations[0].GetField()
			}
		case *errdetails.RetryInfo:
			made.retryDelay = detail.GetRetryDelay().AsDuration()
		}
	}
	return made
}

// isLost tells whether the engine or the way to it is gone for now. A server that is being stopped cancels its calls.
func isLost(ctx context.Context, err error) bool {
	var known *Error
	if ctx.Err() != nil || !errors.As(err, &known) {
		return false
	}
	return known.Code == codes.Unavailable || known.Code == codes.Canceled && known.Reason == ""
}
