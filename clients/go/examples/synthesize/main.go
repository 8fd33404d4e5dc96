// Command synthesize has an engine find a network for a data set, downloads it, and runs it here on raw images.
//
// The shared library of ONNX Runtime is found by the environment variable ONNXRUNTIME_LIB.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"

	neunets "neunets.dev/go"
	servicev1 "neunets.dev/go/neunets/service/v1"
)

func main() {
	server := flag.String("server", "127.0.0.1:7390", "gRPC target of the engine")
	data := flag.String("data", "digits", "a built-in data set, or a path on the engine's machine")
	trials := flag.Uint("trials", 2, "networks that the search may train")
	budget := flag.Duration("budget", 0, "wall time of search, final training and export; 0: as long as the trials take")
	images := flag.String("images", "", "file of raw images: uint8, one after another, each (H, W, C)")
	out := flag.String("out", "out", "folder of the model and of predictions.csv")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	spec := neunets.Spec{Trials: uint32(*trials), Budget: *budget}
	if err := run(ctx, *server, *data, spec, *images, *out); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, server, data string, spec neunets.Spec, images, out string) error {
	client, err := neunets.Dial(server)
	if err != nil {
		return err
	}
	defer client.Close()
	dataset, err := client.Register(ctx, data)
	if err != nil {
		return err
	}
	fmt.Printf("%s: %d training rows of %d classes\n", data, dataset.GetTrainRows(), len(dataset.GetClasses()))
	spec.Dataset = dataset.GetName()
	model, err := synthesize(ctx, client, spec)
	if err != nil {
		return err
	}
	paths, err := client.Download(ctx, model, out)
	if err != nil {
		return err
	}
	fmt.Println("downloaded", paths)
	if images == "" {
		return nil
	}
	raw, err := os.ReadFile(images)
	if err != nil {
		return err
	}
	probabilities, err := predict(filepath.Join(out, "model.onnx"), raw, dataset.GetInput().GetShape())
	if err != nil {
		return err
	}
	return writeRows(filepath.Join(out, "predictions.csv"), probabilities)
}

// synthesize gives the name of the model that was found.
func synthesize(ctx context.Context, client *neunets.Client, spec neunets.Spec) (string, error) {
	started, err := client.Start(ctx, spec)
	if err != nil {
		return "", err
	}
	for now, err := range client.Watch(ctx, started.GetName(), 0) {
		if err != nil {
			return "", err
		}
		if line := describe(now.GetEvent()); line != "" {
			fmt.Println(line)
		}
	}
	run, err := client.Get(ctx, started.GetName())
	if err != nil {
		return "", err
	}
	if run.GetModel() == "" {
		return "", errors.New(run.GetName() + " made no model: " + run.GetReason())
	}
	return run.GetModel(), nil
}

// describe is a line for an event of interest, else empty.
func describe(event *servicev1.RunEvent) string {
	switch news := event.GetEvent().(type) {
	case *servicev1.RunEvent_StateChanged:
		return fmt.Sprint("state ", news.StateChanged.GetTo())
	case *servicev1.RunEvent_Search:
		if ended := news.Search.GetEnded(); ended != nil {
			accuracy := ended.GetMetrics()["valid_accuracy"]
			return fmt.Sprintf("trial %s %v, accuracy %.4f", ended.GetTrial(), ended.GetState(), accuracy)
		}
		for _, proposed := range news.Search.GetProposed().GetCandidates() {
			return fmt.Sprintf("candidate %s: %s", proposed.GetId(), proposed.GetCandidate().GetRationale())
		}
	case *servicev1.RunEvent_Verdict:
		return "verdict: " + news.Verdict.GetReason()
	case *servicev1.RunEvent_ModelExported:
		return "exported " + news.ModelExported.GetModel()
	}
	return ""
}
