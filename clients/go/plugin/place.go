package plugin

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

// engineName is in the engine's certificate, whatever its address is.
const engineName = "engine.neunets"

// place is where a synthesizer's process runs: the way from the engine to it and back.
type place struct {
	host     string // gRPC target of the plugin host; empty: the engine's operator lists this process's address
	token    string // with which it registers
	endpoint string // gRPC target, as the engine calls it
	listen   func() (net.Listener, error)
	// enrolment is that of a process on another host, which outlives engines; nil in a child of the engine.
	enrolment *enrolment
	shown     credentials.TransportCredentials // nil: nobody else can connect
}

// placeOf reads the environment; its error names what is missing.
func placeOf() (*place, error) {
	if folder := os.Getenv("NEUNETS_ENROLMENT"); folder != "" {
		return enrolledIn(folder)
	}
	if address := os.Getenv("NEUNETS_LISTEN"); address != "" && os.Getenv("NEUNETS_HOST") == "" {
		return aloneAt(address)
	}
	hint := "a synthesizer is started by the engine, or on another host with NEUNETS_ENROLMENT"
	set, err := needed(hint, "NEUNETS_HOST", "NEUNETS_LAUNCH_TOKEN", "NEUNETS_SOCKET_DIR")
	if err != nil {
		return nil, err
	}
	socket := filepath.Join(set[2], strconv.Itoa(os.Getpid())+".sock")
	listen := func() (net.Listener, error) { return listenAlone(socket) }
	return &place{host: set[0], token: set[1], endpoint: "unix:" + socket, listen: listen}, nil
}

func enrolledIn(folder string) (*place, error) {
	set, err := needed("the address on which the engine reaches this process, HOST:PORT", "NEUNETS_LISTEN")
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	for _, name := range []string{"ca.pem", "cert.pem", "key.pem", "token", "host"} {
		if files[name], err = os.ReadFile(filepath.Join(folder, name)); err != nil {
			return nil, fmt.Errorf("NEUNETS_ENROLMENT: %w: enrol with `neunets synthesizers enroll`", err)
		}
	}
	enrolled := &enrolment{folder: folder, key: files["key.pem"], authority: x509.NewCertPool()}
	if !enrolled.authority.AppendCertsFromPEM(files["ca.pem"]) {
		return nil, fmt.Errorf("NEUNETS_ENROLMENT: ca.pem in %s is no certificate: enrol anew", folder)
	}
	if enrolled.shown, err = tls.X509KeyPair(files["cert.pem"], enrolled.key); err != nil {
		return nil, fmt.Errorf("NEUNETS_ENROLMENT: cert.pem in %s: %w: enrol anew", folder, err)
	}
	endpoint := os.Getenv("NEUNETS_ENDPOINT")
	if endpoint == "" {
		endpoint = set[0]
	}
	return &place{
		host:      strings.TrimSpace(string(files["host"])),
		token:     strings.TrimSpace(string(files["token"])),
		endpoint:  endpoint,
		listen:    func() (net.Listener, error) { return net.Listen("tcp", set[0]) },
		enrolment: enrolled,
		shown:     enrolled.server(),
	}, nil
}

func aloneAt(address string) (*place, error) {
	made := &place{listen: func() (net.Listener, error) { return net.Listen("tcp", address) }}
	if socket, isOne := strings.CutPrefix(address, "unix:"); isOne {
		made.listen = func() (net.Listener, error) { return listenAlone(socket) }
		return made, nil
	}
	folder := os.Getenv("NEUNETS_TLS")
	if folder == "" {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, fmt.Errorf("NEUNETS_LISTEN: %w", err)
		}
		if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return nil, fmt.Errorf("NEUNETS_LISTEN: %s is open to other machines, without encryption: "+
				"set NEUNETS_TLS, or listen on 127.0.0.1", address)
		}
		return made, nil
	}
	certificate, err := tls.LoadX509KeyPair(filepath.Join(folder, "cert.pem"), filepath.Join(folder, "key.pem"))
	if err != nil {
		return nil, fmt.Errorf("NEUNETS_TLS: %w", err)
	}
	authority, err := os.ReadFile(filepath.Join(folder, "ca.pem"))
	if err != nil {
		return nil, fmt.Errorf("NEUNETS_TLS: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(authority) {
		return nil, fmt.Errorf("NEUNETS_TLS: ca.pem in %s is no certificate", folder)
	}
	made.shown = credentials.NewTLS(&tls.Config{
		MinVersion:   tls.VersionTLS12,
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    pool,
		Certificates: []tls.Certificate{certificate},
	})
	return made, nil
}

func needed(hint string, names ...string) ([]string, error) {
	values := make([]string, len(names))
	for number, name := range names {
		if values[number] = os.Getenv(name); values[number] == "" {
			return nil, fmt.Errorf("%s is not set: %s", name, hint)
		}
	}
	return values, nil
}

// listenAlone on a socket that nobody else may connect to.
func listenAlone(socket string) (net.Listener, error) {
	if err := os.Remove(socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	defer restrictAccess()()
	return net.Listen("unix", socket)
}

// serverOptions show this process to the engine alone.
func (p *place) serverOptions() []grpc.ServerOption {
	if p.shown == nil {
		return nil
	}
	return []grpc.ServerOption{grpc.Creds(p.shown)}
}

// toHost is how the engine is dialled.
func (p *place) toHost() credentials.TransportCredentials {
	if p.enrolment == nil {
		return insecure.NewCredentials()
	}
	return p.enrolment.client()
}

// enrolment is the certificate of a process on another host; the engine replaces it before it ends.
type enrolment struct {
	folder    string
	key       []byte
	authority *x509.CertPool
	guard     sync.Mutex
	shown     tls.Certificate
}

// rotate shows another certificate (PEM) of the same key from now on, here and in the next process.
func (e *enrolment) rotate(certificate []byte) error {
	shown, err := tls.X509KeyPair(certificate, e.key)
	if err != nil {
		return err
	}
	path := filepath.Join(e.folder, "cert.pem")
	if err := os.WriteFile(path+".part", certificate, 0o600); err != nil {
		return err
	}
	if err := os.Rename(path+".part", path); err != nil {
		return err
	}
	e.guard.Lock()
	defer e.guard.Unlock()
	e.shown = shown
	return nil
}

// current certificate, for each handshake as it is then.
func (e *enrolment) current() (*tls.Certificate, error) {
	e.guard.Lock()
	defer e.guard.Unlock()
	shown := e.shown
	return &shown, nil
}

// server answers the engine: other synthesizers have certificates of the same authority.
func (e *enrolment) server() credentials.TransportCredentials {
	return credentials.NewTLS(&tls.Config{
		MinVersion:       tls.VersionTLS12,
		ClientAuth:       tls.RequireAndVerifyClientCert,
		ClientCAs:        e.authority,
		GetCertificate:   func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return e.current() },
		VerifyConnection: func(state tls.ConnectionState) error { return state.PeerCertificates[0].VerifyHostname(engineName) },
	})
}

func (e *enrolment) client() credentials.TransportCredentials {
	return credentials.NewTLS(&tls.Config{
		MinVersion:           tls.VersionTLS12,
		RootCAs:              e.authority,
		ServerName:           engineName,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return e.current() },
	})
}
