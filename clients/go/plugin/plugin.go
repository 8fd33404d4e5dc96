// Package plugin makes a synthesizer of a search algorithm: it serves the plugin contract, so that only the algorithm
// is left to write.
//
//	func main() { os.Exit(plugin.Serve(algorithm{})) }
package plugin

import (
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	pb "neunets.dev/go/neunets/synthesizer/v1"
)

// Synthesizer is a search algorithm. Its methods are called by many goroutines at a time.
type Synthesizer interface {
	// Describe is cheap and always the same. What it leaves open is filled in: all tasks that the engine has, no
	// settings, sixteen candidates a batch, ready.
	Describe() *pb.DescribeResponse
	// Open is the initialization contract. The problem is complete, the settings are known ones of the schema, with its
	// defaults filled in. It may fail with BadField("settings.NAME", ...) or Unsupported.
	Open(problem *pb.Problem, settings map[string]any, seed uint64) (Session, error)
}

// Session is the search for one run, which one goroutine at a time enters. Its state is a fold over the events that it
// ingested: after a restart of the process it gets all of them again, and has to go on as if nothing had happened.
// An error that is no refusal of this package is a fault of the plugin. A session that is a HostUser may ask the engine.
type Session interface {
	// Propose is the first operation: up to `want` candidates, by Proposals, Wait or Exhausted. It changes nothing: what
	// is proposed comes back as an event, with the engine's ids.
	Propose(want int, budget *pb.Budget) (*pb.ProposeResponse, error)
	// Ingest is the second operation: what happened, in order, each event once. After an error the run is opened anew.
	Ingest(events []*pb.Event) error
	// Assess is the third operation: how the search stands. It changes nothing.
	Assess(budget *pb.Budget, running []string) (*pb.AssessResponse, error)
}

// Proposals are candidates to train; without any, it is Exhausted that has to be said.
func Proposals(candidates ...*pb.Candidate) *pb.ProposeResponse {
	proposals := &pb.Proposals{Candidates: candidates}
	return &pb.ProposeResponse{Outcome: &pb.ProposeResponse_Proposals{Proposals: proposals}}
}

// Wait asks to be asked again after so many results or so much time.
func Wait(results uint32, after time.Duration, reason string) *pb.ProposeResponse {
	wait := &pb.Wait{MinNewResults: results, After: durationpb.New(after), Reason: reason}
	return &pb.ProposeResponse{Outcome: &pb.ProposeResponse_Wait{Wait: wait}}
}

// Exhausted says that nothing more will be proposed.
func Exhausted(reason string) *pb.ProposeResponse {
	return &pb.ProposeResponse{Outcome: &pb.ProposeResponse_Exhausted{Exhausted: &pb.Exhausted{Reason: reason}}}
}

// Assessment is a verdict with the progress of the search, which is brought into 0..1.
func Assessment(verdict pb.AssessResponse_Verdict, progress float64, reason string) *pb.AssessResponse {
	progress = min(max(progress, 0), 1)
	return &pb.AssessResponse{Verdict: verdict, Progress: &progress, Reason: reason}
}
