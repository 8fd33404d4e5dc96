package neunets

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"iter"
	"os"
	"path/filepath"

	servicev1 "neunets.dev/go/neunets/service/v1"
)

// Models gives the trained networks of a run, in the order of their trials. An error is the last that it gives.
func (c *Client) Models(ctx context.Context, run string) iter.Seq2[*servicev1.Model, error] {
	return func(yield func(*servicev1.Model, error) bool) {
		token := ""
		for {
			page, err := c.models.List(ctx, &servicev1.ListModelsRequest{Parent: run, PageToken: token})
			if err != nil {
				yield(nil, err)
				return
			}
			for _, model := range page.GetModels() {
				if !yield(model, nil) {
					return
				}
			}
			if token = page.GetNextPageToken(); token == "" {
				return
			}
		}
	}
}

// Download writes all files of an exported model into a folder, and returns their paths. A file gets its name once its
// SHA-256 is right; what a broken download has left is gone on with.
func (c *Client) Download(ctx context.Context, model, folder string) ([]string, error) {
	exported, err := c.models.Export(ctx, &servicev1.ExportModelRequest{Name: model})
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(folder, 0o777); err != nil {
		return nil, err
	}
	var paths []string
	for _, artifact := range exported.GetModel().GetArtifacts() {
		name := artifact.GetFile()
		if name != filepath.Base(name) || !filepath.IsLocal(name) {
			return paths, fmt.Errorf("%s: the engine names a file %q, which is no plain file name", model, name)
		}
		if err := c.downloadFile(ctx, model, artifact, folder); err != nil {
			return paths, err
		}
		paths = append(paths, filepath.Join(folder, name))
	}
	return paths, nil
}

func (c *Client) downloadFile(ctx context.Context, model string, artifact *servicev1.Artifact, folder string) error {
	name, wanted := artifact.GetFile(), artifact.GetRef().GetSha256()
	// With its content's hash in its name, what is left of another model's file is never gone on with.
	path := filepath.Join(folder, fmt.Sprintf(".%s.%.16s.part", name, filepath.Base(wanted)))
	part, err := openPart(path)
	if err != nil {
		return err
	}
	defer part.file.Close()
	if part.size > artifact.GetRef().GetSize() {
		if err := part.empty(); err != nil {
			return err
		}
	}
	wasBegun := part.size > 0
	for {
		if err := c.fill(ctx, model, name, part); err != nil {
			return err
		}
		if hex.EncodeToString(part.hash.Sum(nil)) == wanted {
			break
		}
		if !wasBegun {
			return errors.Join(
				fmt.Errorf("%s/%s: its SHA-256 is not %s: download it again", model, name, wanted), os.Remove(path))
		}
		wasBegun = false
		if err := part.empty(); err != nil {
			return err
		}
	}
	if err := part.file.Close(); err != nil {
		return err
	}
	return os.Rename(path, filepath.Join(folder, name))
}

// fill appends to a part what it lacks, over as many connections as that takes.
func (c *Client) fill(ctx context.Context, model, name string, part *part) error {
	outage := c.policy.outage()
	for {
		err := c.append(ctx, model, name, part, outage.over)
		if !isLost(ctx, err) || !outage.wait(ctx, err) {
			return err
		}
	}
}

func (c *Client) append(ctx context.Context, model, name string, part *part, came func()) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	request := &servicev1.DownloadRequest{Name: model, File: name, Offset: part.size}
	stream, err := c.models.Download(ctx, request)
	if err != nil {
		return err
	}
	for {
		response, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		came()
		if err := part.write(response.GetData()); err != nil {
			return err
		}
	}
}

// part is a file under way, with the hash of what it has.
type part struct {
	file *os.File
	hash hash.Hash
	size uint64
}

func openPart(path string) (*part, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, err
	}
	begun := &part{file: file, hash: sha256.New()}
	size, err := io.Copy(begun.hash, file)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	begun.size = uint64(size)
	return begun, nil
}

func (p *part) write(data []byte) error {
	if _, err := p.file.Write(data); err != nil {
		return err
	}
	p.hash.Write(data)
	p.size += uint64(len(data))
	return nil
}

func (p *part) empty() error {
	p.hash.Reset()
	p.size = 0
	if _, err := p.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return p.file.Truncate(0)
}
