package neunets

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	servicev1 "neunets.dev/go/neunets/service/v1"
)

// slow answers Get after its caller has gone, and counts.
type slow struct {
	servicev1.UnimplementedRunsServer
	asked atomic.Int32
	left  chan time.Duration
}

func (s *slow) Get(ctx context.Context, _ *servicev1.GetRunRequest) (*servicev1.Run, error) {
	s.asked.Add(1)
	deadline, _ := ctx.Deadline()
	s.left <- time.Until(deadline)
	<-ctx.Done()
	return nil, status.FromContextError(ctx.Err()).Err()
}

func TestLateAnswerIsAskedForOnceMoreWithTwiceTheTime(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	late := &slow{left: make(chan time.Duration, 8)}
	server := grpc.NewServer()
	servicev1.RegisterRunsServer(server, late)
	go server.Serve(listener)
	defer server.Stop()
	const deadline = 200 * time.Millisecond
	client, err := Dial(listener.Addr().String(), func(d *dialing) {
		d.policy.deadline = func(string) time.Duration { return deadline }
	})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	_, err = client.Get(t.Context(), "runs/any")
	var failed *Error
	if !errors.As(err, &failed) || failed.Code != codes.DeadlineExceeded {
		t.Fatalf("%v is not DEADLINE_EXCEEDED", err)
	}
	if late.asked.Load() != 2 {
		t.Fatalf("it was asked %d times", late.asked.Load())
	}
	if first, second := <-late.left, <-late.left; first > deadline || second <= deadline {
		t.Errorf("it had %s, then %s", first, second)
	}
}

func TestEveryMethodHasADeadlineOrAHeartbeat(t *testing.T) {
	for _, service := range []grpc.ServiceDesc{
		servicev1.Runs_ServiceDesc, servicev1.Models_ServiceDesc, servicev1.Synthesizers_ServiceDesc,
		servicev1.Datasets_ServiceDesc,
	} {
		for _, method := range service.Methods {
			if deadlineOf("/"+service.ServiceName+"/"+method.MethodName) <= 0 {
				t.Errorf("%s has no deadline", method.MethodName)
			}
		}
	}
}
