package plugin

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"

	pb "neunets.dev/go/neunets/synthesizer/v1"
)

const (
	graceOnTheWay  = time.Second
	exitOK         = 0
	exitRefused    = 1
	exitNotStarted = 2
)

// Serve until told to end (SIGTERM, SIGINT); it returns the exit code.
//
// From the environment, as the engine sets it: NEUNETS_HOST (gRPC target of the plugin host), NEUNETS_LAUNCH_TOKEN,
// NEUNETS_SOCKET_DIR, NEUNETS_PARENT_DEATH=1 (end with the engine). On another host: NEUNETS_ENROLMENT (the folder that
// `neunets synthesizers enroll` wrote; its certificate is replaced before it ends), NEUNETS_LISTEN (HOST:PORT to listen
// on), NEUNETS_ENDPOINT (as the engine calls it, where it differs). With NEUNETS_LISTEN alone it registers nowhere, and
// the engine's operator lists its address: HOST:PORT or unix:PATH, open to this machine only without NEUNETS_TLS, a
// folder with ca.pem, cert.pem and key.pem.
func Serve(synthesizer Synthesizer) int {
	place, err := placeOf()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return exitNotStarted
	}
	if os.Getenv("NEUNETS_PARENT_DEATH") == "1" {
		dieWithParent()
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := serve(ctx, synthesizer, place); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return exitRefused
	}
	return exitOK
}

func serve(ctx context.Context, synthesizer Synthesizer, place *place) error {
	served := newServer(synthesizer)
	registered := &registration{place: place, served: served}
	if place.host != "" {
		if err := registered.dial(); err != nil {
			return err
		}
		defer registered.conn.Close()
		served.host = registered.host
	}
	listener, err := place.listen()
	if err != nil {
		return err
	}
	// The engine may end with its connections open, so that nobody is waited for longer than the grace.
	options := append(place.serverOptions(), grpc.UnaryInterceptor(needDeadline))
	answering, healthy := grpc.NewServer(options...), health.NewServer()
	defer func() {
		healthy.Shutdown()
		late := time.AfterFunc(graceOnTheWay, answering.Stop)
		answering.GracefulStop()
		late.Stop()
	}()
	pb.RegisterSynthesizerServer(answering, served)
	grpc_health_v1.RegisterHealthServer(answering, healthy)
	reflection.Register(answering)
	healthy.SetServingStatus(pb.Synthesizer_ServiceDesc.ServiceName, grpc_health_v1.HealthCheckResponse_SERVING)
	ended := make(chan error, 1)
	go func() { ended <- answering.Serve(listener) }()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		if err := <-ended; err != nil {
			slog.Error("the listener is lost", "error", err)
			cancel()
		}
	}()
	if place.host == "" {
		slog.Info("serving", "address", listener.Addr().String())
		<-ctx.Done()
		return nil
	}
	return registered.keep(ctx)
}
