package neunets

import (
	"context"

	"google.golang.org/protobuf/proto"

	servicev1 "neunets.dev/go/neunets/service/v1"
)

// RegisterOption says how data are read.
type RegisterOption func(*registration)

type registration struct {
	request servicev1.RegisterDatasetRequest
	tell    func(*servicev1.ReadProgress)
}

// WithSplitSeed is the seed of the splits into training, validation and test rows; without it, 0.
func WithSplitSeed(seed uint64) RegisterOption {
	return func(r *registration) { r.request.Seed = seed }
}

// WithImageSize is the height and width that all images get.
func WithImageSize(pixels uint32) RegisterOption {
	return func(r *registration) { r.request.ImageSize = proto.Uint32(pixels) }
}

// WithImageSides is the height and the width that all images get, where they differ.
func WithImageSides(height, width uint32) RegisterOption {
	return func(r *registration) {
		r.request.ImageHeight, r.request.ImageWidth = proto.Uint32(height), proto.Uint32(width)
	}
}

// WithImageFit is how images of another aspect are brought to the size; without it, they are stretched.
func WithImageFit(fit servicev1.Preprocessing_Fit) RegisterOption {
	return func(r *registration) { r.request.ImageFit = fit }
}

// WithColumns names the columns of a table that hold the images and the labels; empty ones are known by common names.
func WithColumns(image, label string) RegisterOption {
	return func(r *registration) { r.request.ImageColumn, r.request.LabelColumn = image, label }
}

// WithoutUnreadable leaves out images that cannot be read, and says so in the data set's warnings.
func WithoutUnreadable() RegisterOption {
	return func(r *registration) { r.request.SkipUnreadable = true }
}

// WithProgress calls tell at least once a second.
func WithProgress(tell func(*servicev1.ReadProgress)) RegisterOption {
	return func(r *registration) { r.tell = tell }
}

// Register makes data known to the engine: a path on its machine, or the name of a built-in data set ("digits"). The
// same content gives the same data set, so that it may be repeated.
func (c *Client) Register(ctx context.Context, source string, options ...RegisterOption) (*servicev1.Dataset, error) {
	wanted := registration{tell: func(*servicev1.ReadProgress) {}}
	wanted.request.Source = source
	for _, option := range options {
		option(&wanted)
	}
	outage := c.policy.outage()
	for {
		dataset, err := c.register(ctx, &wanted)
		if !isLost(ctx, err) || !outage.wait(ctx, err) {
			return dataset, err
		}
	}
}

func (c *Client) register(ctx context.Context, wanted *registration) (*servicev1.Dataset, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.datasets.Register(ctx, &wanted.request)
	if err != nil {
		return nil, err
	}
	for {
		response, err := stream.Recv()
		if err != nil {
			return nil, ended(err)
		}
		if dataset := response.GetDataset(); dataset != nil {
			return dataset, nil
		}
		wanted.tell(response.GetProgress())
	}
}
