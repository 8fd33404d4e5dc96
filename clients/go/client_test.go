package neunets_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	neunets "neunets.dev/go"
	servicev1 "neunets.dev/go/neunets/service/v1"
)

const (
	requestID = "6f1cf1b6-5a3f-4c0e-9a55-6d3c8f2f4b10"
	budget    = 15 * time.Second
)

// server is the target of a running engine; tests that need one are skipped without.
func server(t *testing.T) string {
	t.Helper()
	target := os.Getenv("NEUNETS_SERVER")
	if target == "" {
		t.Skip("NEUNETS_SERVER, the gRPC target of an engine, is not set: run clients/with_engine.py go test ./...")
	}
	return target
}

func dial(t *testing.T, target string, options ...neunets.Option) *neunets.Client {
	t.Helper()
	client, err := neunets.Dial(target, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	})
	return client
}

// started is a run that all tests share: it is started once, by its request id.
func started(t *testing.T, client *neunets.Client) *servicev1.Run {
	t.Helper()
	dataset, err := client.Register(t.Context(), "digits")
	if err != nil {
		t.Fatal(err)
	}
	spec := neunets.Spec{Dataset: dataset.GetName(), Trials: 2, Budget: budget, RequestID: requestID}
	run, err := client.Start(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	return run
}

// completed is the same run, once it has ended.
func completed(t *testing.T, client *neunets.Client) *servicev1.Run {
	t.Helper()
	run, err := client.Wait(t.Context(), started(t, client).GetName())
	if err != nil {
		t.Fatal(err)
	}
	if run.GetState() != servicev1.RunState_RUN_STATE_COMPLETED {
		t.Fatalf("%s is %v: %s", run.GetName(), run.GetState(), run.GetReason())
	}
	return run
}

// refused checks that err is an *Error of this code and reason, and returns it.
func refused(t *testing.T, err error, code codes.Code, reason string) *neunets.Error {
	t.Helper()
	var refusal *neunets.Error
	if !errors.As(err, &refusal) {
		t.Fatalf("%v (%T) is no *neunets.Error", err, err)
	}
	if refusal.Code != code || refusal.Reason != reason {
		t.Fatalf("%v/%s is not %v/%s: %v", refusal.Code, refusal.Reason, code, reason, err)
	}
	return refusal
}

func TestRegisterTellsTheDataset(t *testing.T) {
	client := dial(t, server(t))
	dataset, err := client.Register(t.Context(), "digits",
		neunets.WithSplitSeed(3), neunets.WithImageSize(8),
		neunets.WithProgress(func(progress *servicev1.ReadProgress) { // so few images are read before the first
			if progress.GetStage() == "" {
				t.Error("a progress without a stage")
			}
		}))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(dataset.GetName(), "datasets/") || len(dataset.GetClasses()) != 10 {
		t.Errorf("%s of %d classes", dataset.GetName(), len(dataset.GetClasses()))
	}
}

func TestRegisterRefusesWhatIsNotThere(t *testing.T) {
	_, err := dial(t, server(t)).Register(t.Context(), "/no/such/folder")
	if refusal := refused(t, err, codes.InvalidArgument, "BAD_FIELD"); refusal.Field != "source" {
		t.Errorf("%q is not the field that is bad", refusal.Field)
	}
}

func TestUnknownRunIsNotFound(t *testing.T) {
	client := dial(t, server(t))
	_, err := client.Get(t.Context(), "runs/no-such-run")
	refused(t, err, codes.NotFound, "NOT_FOUND")
	if status.Code(err) != codes.NotFound {
		t.Errorf("gRPC's own functions see %v", status.Code(err))
	}
	for _, err := range client.Watch(t.Context(), "runs/no-such-run", 0) {
		refused(t, err, codes.NotFound, "NOT_FOUND")
	}
}

func TestBadSpecNamesTheField(t *testing.T) {
	client := dial(t, server(t))
	dataset := started(t, client).GetSpec().GetDataset()
	for field, spec := range map[string]neunets.Spec{
		"spec.dataset":           {Dataset: "datasets/unknown", Trials: 1},
		"spec.synthesizer":       {Dataset: dataset, Trials: 1, Synthesizer: "unknown"},
		"spec.metric":            {Dataset: dataset, Trials: 1, Metric: "beauty"},
		"spec.settings":          {Dataset: dataset, Trials: 1, Settings: map[string]any{"unknown": true}},
		"spec.settings.no-proto": {Dataset: dataset, Trials: 1, Settings: map[string]any{"no-proto": struct{}{}}},
	} {
		_, err := client.Start(t.Context(), spec)
		refusal := refused(t, err, codes.InvalidArgument, "BAD_FIELD")
		if refusal.Field == "" || !strings.HasPrefix(field, refusal.Field) {
			t.Errorf("%q is refused in place of %q", refusal.Field, field)
		}
	}
}

func TestStartIsIdempotent(t *testing.T) {
	client := dial(t, server(t))
	first, second := started(t, client), started(t, client)
	if first.GetName() != second.GetName() {
		t.Errorf("%s and %s are of the same request", first.GetName(), second.GetName())
	}
	_, err := client.Start(t.Context(),
		neunets.Spec{Dataset: first.GetSpec().GetDataset(), Trials: 3, RequestID: requestID})
	refused(t, err, codes.AlreadyExists, "REQUEST_ID_REUSED")
}

func TestWatchResumesWithoutGapOrRepeat(t *testing.T) {
	way := newCutWay(t, server(t))
	client := dial(t, way.target())
	run := started(t, client)
	var seqs []uint64
	for now, err := range client.Watch(t.Context(), run.GetName(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		seqs = append(seqs, now.GetEvent().GetSeq())
		if len(seqs)%5 == 0 {
			way.cut()
		}
	}
	last := completed(t, client).GetSeq()
	if uint64(len(seqs)) != last {
		t.Errorf("%d events came of %d", len(seqs), last)
	}
	for index, seq := range seqs {
		if seq != uint64(index)+1 {
			t.Fatalf("event %d came at place %d", seq, index+1)
		}
	}
	for now, err := range client.Watch(t.Context(), run.GetName(), last-1) {
		if err != nil || now.GetEvent().GetSeq() != last {
			t.Fatalf("after event %d came %d, %v", last-1, now.GetEvent().GetSeq(), err)
		}
	}
	for now, err := range client.Watch(t.Context(), run.GetName(), last) {
		t.Fatalf("after the last event came %v, %v", now, err)
	}
}

func TestModelsAreTheTrials(t *testing.T) {
	client := dial(t, server(t))
	run := completed(t, client)
	var names []string
	for model, err := range client.Models(t.Context(), run.GetName()) {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, model.GetName())
	}
	if len(names) < int(run.GetTrialsEnded()) || !slices.Contains(names, run.GetModel()) {
		t.Errorf("%s is none of %v", run.GetModel(), names)
	}
}

func TestStopOfAnEndedRunNamesItsState(t *testing.T) {
	client := dial(t, server(t))
	run := completed(t, client)
	_, err := client.Stop(t.Context(), run.GetName(), servicev1.StopRunRequest_MODE_FINISH)
	refused(t, err, codes.FailedPrecondition, "ILLEGAL_TRANSITION")
}

func TestDownloadIsWhole(t *testing.T) {
	client := dial(t, server(t))
	run, folder := completed(t, client), t.TempDir()
	paths, err := client.Download(t.Context(), run.GetModel(), folder)
	if err != nil {
		t.Fatal(err)
	}
	wanted := artifacts(t, client, run)
	for _, path := range paths {
		if hashOf(t, path) != wanted[filepath.Base(path)] {
			t.Errorf("%s is not the artifact", path)
		}
	}
	if len(paths) != len(wanted) || !slices.Contains(paths, filepath.Join(folder, "model.onnx")) {
		t.Errorf("%v are not all files", paths)
	}
}

func TestDownloadGoesOnWithWhatIsThere(t *testing.T) {
	client := dial(t, server(t))
	run, folder := completed(t, client), t.TempDir()
	wanted := artifacts(t, client, run)
	if _, err := client.Download(t.Context(), run.GetModel(), folder); err != nil {
		t.Fatal(err)
	}
	model := filepath.Join(folder, "model.onnx")
	whole, err := os.ReadFile(model)
	if err != nil {
		t.Fatal(err)
	}
	part := filepath.Join(folder, ".model.onnx."+wanted["model.onnx"][:16]+".part")
	for name, left := range map[string][]byte{
		"its beginning": whole[:100], "all of it": whole, "another beginning": make([]byte, 100),
		"too much": append(slices.Clone(whole), 0),
	} {
		if err := os.WriteFile(part, left, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := client.Download(t.Context(), run.GetModel(), folder); err != nil {
			t.Fatalf("%s was there: %v", name, err)
		}
		if hashOf(t, model) != wanted["model.onnx"] {
			t.Errorf("%s was there: the file is another", name)
		}
		if _, err := os.Stat(part); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s was there: the part is left, %v", name, err)
		}
	}
}

func TestDownloadOfNoModelIsNotFound(t *testing.T) {
	_, err := dial(t, server(t)).Download(t.Context(), "runs/no-such-run/models/t000001", t.TempDir())
	refused(t, err, codes.NotFound, "NOT_FOUND")
}

func TestLostEngineIsTriedUntilPatienceEnds(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener.Close() // nobody listens at this address now
	client := dial(t, listener.Addr().String(), neunets.WithPatience(time.Second))
	begun := time.Now()
	_, err = client.Get(t.Context(), "runs/any")
	refused(t, err, codes.Unavailable, "")
	if waited := time.Since(begun); waited < time.Second || waited > 10*time.Second {
		t.Errorf("it was tried for %s", waited)
	}
}

func TestLostConnectionIsMadeAgain(t *testing.T) {
	way := newCutWay(t, server(t))
	client := dial(t, way.target())
	name := started(t, client).GetName()
	for range 3 {
		way.cut()
		if _, err := client.Get(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCancelledCallEndsWithItsContext(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") // accepts, and never answers
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	client := dial(t, listener.Addr().String())
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = client.Get(ctx, "runs/any")
	if !errors.Is(err, context.DeadlineExceeded) || status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("%v does not tell that the caller's time was over", err)
	}
}

func artifacts(t *testing.T, client *neunets.Client, run *servicev1.Run) map[string]string {
	t.Helper()
	model, err := servicev1.NewModelsClient(client.Conn()).Get(t.Context(), &servicev1.GetModelRequest{Name: run.GetModel()})
	if err != nil {
		t.Fatal(err)
	}
	hashes := map[string]string{}
	for _, artifact := range model.GetArtifacts() {
		hashes[artifact.GetFile()] = artifact.GetRef().GetSha256()
	}
	return hashes
}

func hashOf(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// cutWay is a way to an engine whose connections can be cut.
type cutWay struct {
	listener net.Listener
	guard    sync.Mutex
	open     []net.Conn
}

func newCutWay(t *testing.T, target string) *cutWay {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	way := &cutWay{listener: listener}
	t.Cleanup(func() {
		listener.Close()
		way.cut()
	})
	go func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", target)
			if err != nil {
				near.Close()
				continue
			}
			way.guard.Lock()
			way.open = append(way.open, near, far)
			way.guard.Unlock()
			go carry(near, far)
			go carry(far, near)
		}
	}()
	return way
}

func (w *cutWay) target() string { return w.listener.Addr().String() }

func (w *cutWay) cut() {
	w.guard.Lock()
	defer w.guard.Unlock()
	for _, conn := range w.open {
		conn.Close()
	}
	w.open = nil
}

func carry(from, to net.Conn) {
	defer to.Close()
	buffer := make([]byte, 1<<16)
	for {
		count, err := from.Read(buffer)
		if _, failed := to.Write(buffer[:count]); err != nil || failed != nil {
			return
		}
	}
}
