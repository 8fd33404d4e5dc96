package plugin

import (
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	neunets "neunets.dev/go"
)

// gRPC drops answers whose trailers pass 8 KiB, and the message is in there twice.
const longestMessage = 1024

// BadField refuses a request because of one field: path is "settings.patience", "problem.input.shape", ...
func BadField(path, format string, arguments ...any) error {
	message := fmt.Sprintf("%s: %s", path, fmt.Sprintf(format, arguments...))
	violation := &errdetails.BadRequest_FieldViolation{Field: path, Description: message}
	return refusal(codes.InvalidArgument, "BAD_FIELD", message, map[string]string{"field": path},
		&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{violation}})
}

// Unsupported refuses a problem that the synthesizer cannot work on: another one may. The text says what could be
// changed.
func Unsupported(format string, arguments ...any) error {
	return refusal(codes.FailedPrecondition, "UNSUPPORTED_PROBLEM", fmt.Sprintf(format, arguments...), nil)
}

func runNotOpen(format string, arguments ...any) error {
	return refusal(codes.FailedPrecondition, "RUN_NOT_OPEN", fmt.Sprintf(format, arguments...), nil)
}

func staleEpoch(current uint64) error {
	epoch := strconv.FormatUint(current, 10)
	return refusal(codes.Aborted, "STALE_EPOCH", "epoch "+epoch+" has the run", map[string]string{"epoch": epoch})
}

func sequenceGap(applied uint64, format string, arguments ...any) error {
	metadata := map[string]string{"applied_seq": strconv.FormatUint(applied, 10)}
	return refusal(codes.OutOfRange, "SEQ_GAP", fmt.Sprintf(format, arguments...), metadata)
}

func inFlight() error {
	return refusal(codes.Aborted, "IN_FLIGHT", "another call of this run is in flight", nil)
}

func badCheckpoint() error {
	return refusal(codes.DataLoss, "BAD_CHECKPOINT", "this synthesizer makes no checkpoints: replay from event 1", nil)
}

func busy(most uint32) error {
	message := fmt.Sprintf("%d runs are open, no more are possible", most)
	return refusal(codes.ResourceExhausted, "BUSY", message, nil,
		&errdetails.RetryInfo{RetryDelay: durationpb.New(time.Second)})
}

// fault is the status of whatever an algorithm returned; what says nothing to the engine is logged, and INTERNAL. So is
// what the host answered to a question of the algorithm's.
func fault(err error) error {
	var asked *neunets.Error
	if _, isStatus := status.FromError(err); isStatus && !errors.As(err, &asked) {
		return err
	}
	slog.Error("the algorithm failed", "error", err)
	return refusal(codes.Internal, "INTERNAL", err.Error(), nil)
}

func refusal(
	code codes.Code, reason, message string, metadata map[string]string, details ...protoadapt.MessageV1,
) error {
	message = shortened(message)
	info := &errdetails.ErrorInfo{Domain: neunets.Domain, Reason: reason, Metadata: metadata}
	full, err := status.New(code, message).WithDetails(append([]protoadapt.MessageV1{info}, details...)...)
	if err != nil {
		return errors.Join(status.Error(code, message), err)
	}
	return full.Err()
}

func shortened(text string) string {
	if len(text) <= longestMessage {
		return text
	}
	return string([]rune(text)[:longestMessage/4]) + " …"
}
