package plugin

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"

	neunets "neunets.dev/go"
	pb "neunets.dev/go/neunets/synthesizer/v1"
)

const (
	protocolMajor  = 1
	usualLease     = 30 * time.Second
	hostPatience   = 30 * time.Second
	graceOnTheWay  = time.Second
	exitOK         = 0
	exitRefused    = 1
	exitNotStarted = 2
)

// Serve until told to end (SIGTERM, SIGINT); it returns the exit code.
//
// From the environment, as the engine sets it: NEUNETS_HOST (gRPC target of the plugin host), NEUNETS_LAUNCH_TOKEN,
// NEUNETS_SOCKET_DIR, NEUNETS_PARENT_DEATH=1 (end with the engine).
func Serve(synthesizer Synthesizer) int {
	for _, name := range []string{"NEUNETS_HOST", "NEUNETS_LAUNCH_TOKEN", "NEUNETS_SOCKET_DIR"} {
		if os.Getenv(name) == "" {
			fmt.Fprintf(os.Stderr, "%s is not set: a synthesizer is started by the engine\n", name)
			return exitNotStarted
		}
	}
	if os.Getenv("NEUNETS_PARENT_DEATH") == "1" {
		dieWithParent()
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := serve(ctx, synthesizer, os.Getenv("NEUNETS_SOCKET_DIR")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return exitRefused
	}
	return exitOK
}

func serve(ctx context.Context, synthesizer Synthesizer, folder string) error {
	host, err := neunets.Dial(os.Getenv("NEUNETS_HOST"), neunets.WithPatience(hostPatience))
	if err != nil {
		return err
	}
	defer host.Close()
	client := pb.NewPluginHostClient(host.Conn())
	if user, isOne := synthesizer.(HostUser); isOne {
		user.UseHost(client)
	}
	served := newServer(synthesizer)
	socket := filepath.Join(folder, strconv.Itoa(os.Getpid())+".sock")
	listener, err := listen(socket)
	if err != nil {
		return err
	}
	// The engine may end with its connections open, so that nobody is waited for longer than the grace.
	answering, healthy := grpc.NewServer(grpc.UnaryInterceptor(needDeadline)), health.NewServer()
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
			slog.Error("the socket is lost", "error", err)
			cancel()
		}
	}()
	return keepRegistered(ctx, client, served, "unix:"+socket)
}

// listen on a socket that nobody else may connect to.
func listen(socket string) (net.Listener, error) {
	if err := os.Remove(socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	defer restrictAccess()()
	return net.Listen("unix", socket)
}

// keepRegistered until ctx ends. A lease that is not renewed is the engine's to judge: the plugin stays.
func keepRegistered(ctx context.Context, host pb.PluginHostClient, served *server, endpoint string) error {
	registered, err := host.Register(ctx, &pb.RegisterRequest{
		Token:          os.Getenv("NEUNETS_LAUNCH_TOKEN"),
		Endpoint:       endpoint,
		ProtocolMajors: []uint32{protocolMajor},
		Self:           served.description,
	})
	if err != nil {
		return fmt.Errorf("the engine refused this plugin: %w", err)
	}
	renewal := time.NewTicker(interval(registered.GetLease().AsDuration()))
	defer renewal.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-renewal.C:
			request := &pb.RenewRequest{Plugin: registered.GetPlugin(), OpenRuns: served.openRuns()}
			renewed, err := host.Renew(ctx, request)
			if err != nil {
				slog.Warn("the lease was not renewed", "error", err)
				continue
			}
			renewal.Reset(interval(renewed.GetLease().AsDuration()))
		}
	}
}

// interval between two renewals of a lease.
func interval(lease time.Duration) time.Duration {
	if lease <= 0 {
		lease = usualLease
	}
	return lease / 3
}
