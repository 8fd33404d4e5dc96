// Package neunets drives a NeuNetS engine: it registers data, starts runs, watches them, and downloads their models.
//
// Every call has a deadline, is repeated by the rules of the service contract, and fails with an [*Error]. Calls that
// this package has no function for are made with the generated clients on [Client.Conn], by the same rules:
//
//	variants, err := servicev1.NewModelsClient(client.Conn()).Export(ctx, request)
package neunets

import (
	"context"
	"net"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"

	servicev1 "neunets.dev/go/neunets/service/v1"
)

const usualPatience = time.Minute

// Client is a connection to one engine. It may be used by many goroutines at a time.
type Client struct {
	conn     *grpc.ClientConn
	policy   policy
	runs     servicev1.RunsClient
	models   servicev1.ModelsClient
	datasets servicev1.DatasetsClient
}

// Option changes how [Dial] connects.
type Option func(*dialing)

type dialing struct {
	policy  policy
	options []grpc.DialOption
}

// WithPatience is how long a lost engine is tried again before a call fails; without it, a minute.
func WithPatience(patience time.Duration) Option {
	return func(d *dialing) { d.policy.patience = patience }
}

// WithDialOptions are gRPC's own, such as transport credentials; without these, the connection is not encrypted.
func WithDialOptions(options ...grpc.DialOption) Option {
	return func(d *dialing) { d.options = append(d.options, options...) }
}

// Dial prepares a connection to a gRPC target: "127.0.0.1:7390", "unix:/path/to/engine.sock". It does not wait for the
// engine: the first call does.
func Dial(target string, options ...Option) (*Client, error) {
	made := dialing{policy: policy{patience: usualPatience, deadline: deadlineOf}}
	for _, option := range options {
		option(&made)
	}
	// gRPC's own pause between two connections would grow to minutes.
	pause := backoff.Config{BaseDelay: firstDelay, Multiplier: 2, Jitter: 0.2, MaxDelay: longestDelay}
	if isLocal(target) {
		made.options = append(made.options, grpc.WithNoProxy())
	}
	conn, err := grpc.NewClient(target, append([]grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: pause, MinConnectTimeout: longestDelay}),
		grpc.WithUnaryInterceptor(made.policy.unary),
		grpc.WithStreamInterceptor(made.policy.stream),
	}, made.options...)...)
	if err != nil {
		return nil, told(context.Background(), err)
	}
	return &Client{
		conn:     conn,
		policy:   made.policy,
		runs:     servicev1.NewRunsClient(conn),
		models:   servicev1.NewModelsClient(conn),
		datasets: servicev1.NewDatasetsClient(conn),
	}, nil
}

// isLocal tells whether a target is on this machine, where no proxy of the environment leads.
func isLocal(target string) bool {
	scheme, rest, found := strings.Cut(target, ":")
	switch {
	case found && (scheme == "unix" || scheme == "unix-abstract"):
		return true
	case found && (scheme == "dns" || scheme == "ipv4" || scheme == "ipv6" || scheme == "passthrough"):
		target = strings.TrimPrefix(rest, "///")
	}
	host, _, err := net.SplitHostPort(target)
	if err != nil {
		return false
	}
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}

// Conn is for the generated clients; their calls get deadlines, retries and errors of the type *Error, too.
func (c *Client) Conn() grpc.ClientConnInterface { return c.conn }

// Close ends the connection and all calls on it.
func (c *Client) Close() error { return c.conn.Close() }
