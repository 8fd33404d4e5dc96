package plugin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	neunets "neunets.dev/go"
	pb "neunets.dev/go/neunets/synthesizer/v1"
)

const (
	protocolMajor = 1
	usualLease    = 30 * time.Second
	hostPatience  = 30 * time.Second
)

// registration with the engine: made once, renewed, and made again with the engine that comes after it.
type registration struct {
	place  *place
	conn   *hostConn
	host   pb.PluginHostClient
	served *server
	plugin string
}

// dial the engine, which need not be there yet.
func (r *registration) dial() error {
	r.conn = &hostConn{place: r.place}
	r.host = pb.NewPluginHostClient(r.conn)
	return r.conn.redial()
}

// keep it until ctx ends. A lease that is not renewed is the engine's to judge: the plugin stays.
func (r *registration) keep(ctx context.Context) error {
	lease, err := r.register(ctx)
	if err != nil {
		return err
	}
	renewal := time.NewTicker(interval(lease))
	defer renewal.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-renewal.C:
			if lease, err = r.renew(ctx, lease); err != nil {
				return err
			}
			renewal.Reset(interval(lease))
		}
	}
}

// register, and return the lease. On another host it waits for the engine as long as it takes.
func (r *registration) register(ctx context.Context) (time.Duration, error) {
	request := &pb.RegisterRequest{
		Token:          r.place.token,
		Endpoint:       r.place.endpoint,
		ProtocolMajors: []uint32{protocolMajor},
		Self:           r.served.description,
	}
	for {
		registered, err := r.host.Register(ctx, request)
		var failed *neunets.Error
		switch {
		case err == nil:
			r.plugin = registered.GetPlugin()
			return registered.GetLease().AsDuration(), nil
		case ctx.Err() != nil:
			return 0, nil // told to end meanwhile
		case r.place.enrolment == nil || !errors.As(err, &failed) || !isPassing(failed.Code):
			return 0, fmt.Errorf("the engine refused this plugin: %w", err)
		}
		slog.Warn("the engine does not answer", "error", err)
	}
}

// renew the lease, and return it.
func (r *registration) renew(ctx context.Context, lease time.Duration) (time.Duration, error) {
	request := &pb.RenewRequest{Plugin: r.plugin, OpenRuns: r.served.openRuns()}
	renewed, err := r.host.Renew(ctx, request)
	var failed *neunets.Error
	switch {
	case err == nil:
	case r.place.enrolment != nil && errors.As(err, &failed) && failed.Code == codes.NotFound: // another engine
		return r.register(ctx)
	default:
		slog.Warn("the lease was not renewed", "error", err)
		return lease, nil
	}
	if certificate := renewed.GetCertificate(); len(certificate) > 0 && r.place.enrolment != nil {
		if err := errors.Join(r.place.enrolment.rotate(certificate), r.conn.redial()); err != nil {
			slog.Error("the new certificate cannot be used", "error", err)
		}
	}
	return renewed.GetLease().AsDuration(), nil
}

// isPassing tells whether a call may do better later, with the engine that comes back.
func isPassing(code codes.Code) bool {
	return code == codes.Unavailable || code == codes.DeadlineExceeded || code == codes.Canceled
}

// interval between two renewals of a lease.
func interval(lease time.Duration) time.Duration {
	if lease <= 0 {
		lease = usualLease
	}
	return lease / 3
}

// hostConn is a connection to the plugin host that can be made anew: a new certificate is shown by a new one.
type hostConn struct {
	place  *place
	guard  sync.RWMutex
	client *neunets.Client
}

func (c *hostConn) redial() error {
	credentials := neunets.WithDialOptions(grpc.WithTransportCredentials(c.place.toHost()))
	client, err := neunets.Dial(c.place.host, neunets.WithPatience(hostPatience), credentials)
	if err != nil {
		return err
	}
	c.guard.Lock()
	defer c.guard.Unlock()
	if c.client != nil {
		_ = c.client.Close()
	}
	c.client = client
	return nil
}

func (c *hostConn) current() grpc.ClientConnInterface {
	c.guard.RLock()
	defer c.guard.RUnlock()
	return c.client.Conn()
}

func (c *hostConn) Invoke(ctx context.Context, method string, request, reply any, options ...grpc.CallOption) error {
	return c.current().Invoke(ctx, method, request, reply, options...)
}

func (c *hostConn) NewStream(
	ctx context.Context, description *grpc.StreamDesc, method string, options ...grpc.CallOption,
) (grpc.ClientStream, error) {
	return c.current().NewStream(ctx, description, method, options...)
}

func (c *hostConn) Close() error {
	c.guard.RLock()
	defer c.guard.RUnlock()
	return c.client.Close()
}
