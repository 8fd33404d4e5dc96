package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	onnx "github.com/yalue/onnxruntime_go"
)

// batch is how many images go through the model at a time.
const batch = 256

// predict gives the probabilities of raw uint8 images of extents (H, W, C), a row an image. Images are normalised inside
// the model.
func predict(model string, images []byte, extents []uint32) (rows [][]float32, err error) {
	onnx.SetSharedLibraryPath(os.Getenv("ONNXRUNTIME_LIB"))
	if err := onnx.InitializeEnvironment(); err != nil {
		return nil, fmt.Errorf("ONNX Runtime by ONNXRUNTIME_LIB=%q: %w", os.Getenv("ONNXRUNTIME_LIB"), err)
	}
	defer func() { err = errors.Join(err, onnx.DestroyEnvironment()) }()
	inputs, _, err := onnx.GetInputOutputInfo(model)
	if err != nil {
		return nil, err
	}
	shape, size := onnx.Shape{}, 1 // of one image; the model's own is open where it takes images of any size
	for _, extent := range extents {
		shape = append(shape, int64(extent))
		size *= int(extent)
	}
	if inputs[0].DataType != onnx.TensorElementDataTypeUint8 || len(images)%size != 0 {
		return nil, fmt.Errorf("%d bytes are no images of %v %v", len(images), shape, inputs[0].DataType)
	}
	session, err := onnx.NewDynamicAdvancedSession(model, []string{inputs[0].Name}, []string{"probabilities"}, nil)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, session.Destroy()) }()
	for start := 0; start < len(images); start += batch * size {
		some := images[start:min(start+batch*size, len(images))]
		found, err := predictBatch(session, append(onnx.NewShape(int64(len(some)/size)), shape...), some)
		if err != nil {
			return nil, err
		}
		rows = append(rows, found...)
	}
	return rows, nil
}

func predictBatch(session *onnx.DynamicAdvancedSession, shape onnx.Shape, images []byte) (rows [][]float32, err error) {
	input, err := onnx.NewTensor(shape, images)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, input.Destroy()) }()
	outputs := []onnx.Value{nil} // made by the session
	if err := session.Run([]onnx.Value{input}, outputs); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, outputs[0].Destroy()) }()
	probabilities, isFloat := outputs[0].(*onnx.Tensor[float32])
	if !isFloat {
		return nil, fmt.Errorf("the probabilities are no float32: %T", outputs[0])
	}
	classes := int(probabilities.GetShape()[1])
	for values := probabilities.GetData(); len(values) > 0; values = values[classes:] {
		rows = append(rows, append([]float32(nil), values[:classes]...))
	}
	return rows, nil
}

// writeRows writes a line a row, with nine digits, which name a float32 exactly.
func writeRows(path string, rows [][]float32) (err error) {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	writer := bufio.NewWriter(file)
	for _, row := range rows {
		texts := make([]string, len(row))
		for column, value := range row {
			texts[column] = strconv.FormatFloat(float64(value), 'g', 9, 32)
		}
		if _, err := writer.WriteString(strings.Join(texts, ",") + "\n"); err != nil {
			return err
		}
	}
	return writer.Flush()
}
