package dev.neunets.examples;

import ai.onnxruntime.OnnxJavaType;
import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtSession;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** A synthesized network in ONNX Runtime: raw pixels in, probabilities out; nothing else has to be known of it. */
final class Predictor implements AutoCloseable {
    private static final int BATCH = 256;

    private final OrtEnvironment environment = OrtEnvironment.getEnvironment();
    private final OrtSession session;

    Predictor(Path model) throws OrtException {
        session = environment.createSession(model.toString());
    }

    /** `images`: one after another, `shape` (H, W, C) each. Returns: (images, classes). */
    float[][] probabilities(byte[] images, List<Integer> shape) throws OrtException {
        int size = shape.stream().reduce(1, Math::multiplyExact);
        if (images.length % size != 0) {
            throw new IllegalArgumentException(images.length + " bytes are no whole number of images " + shape);
        }
        float[][] found = new float[images.length / size][];
        for (int first = 0; first < found.length; first += BATCH) {
            int count = Math.min(BATCH, found.length - first);
            ByteBuffer batch = ByteBuffer.allocateDirect(count * size).put(images, first * size, count * size).flip();
            System.arraycopy(run(batch, count, shape), 0, found, first, count);
        }
        return found;
    }

    @Override
    public void close() throws OrtException {
        session.close();
    }

    private float[][] run(ByteBuffer batch, int count, List<Integer> shape) throws OrtException {
        long[] extents = {count, shape.get(0), shape.get(1), shape.get(2)};
        try (OnnxTensor input = OnnxTensor.createTensor(environment, batch, extents, OnnxJavaType.UINT8);
                OrtSession.Result result = session.run(Map.of("image", input), Set.of("probabilities"))) {
            return (float[][]) result.get(0).getValue();
        }
    }
}
