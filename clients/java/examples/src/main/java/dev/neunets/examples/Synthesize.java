package dev.neunets.examples;

import ai.onnxruntime.OrtException;
import dev.neunets.client.NeunetsClient;
import dev.neunets.client.NeunetsException;
import dev.neunets.service.v1.Dataset;
import dev.neunets.service.v1.Run;
import dev.neunets.service.v1.RunEvent;
import dev.neunets.service.v1.RunSpec;
import dev.neunets.service.v1.RunState;
import dev.neunets.service.v1.WatchRunResponse;
import dev.neunets.synthesizer.v1.Event;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.stream.Stream;

/** From data to predictions: a network is synthesized by an engine, fetched, and run here on raw images. */
public final class Synthesize {
    private static final String USAGE =
            "synthesize --server TARGET --data digits --trials 2 --images FILE --out DIR (FILE: raw uint8 images)";

    private static final Set<String> OPTIONS = Set.of("--server", "--data", "--trials", "--images", "--out");

    private Synthesize() {}

    public static void main(String[] words) throws IOException, OrtException {
        Map<String, String> options = options(words);
        try (NeunetsClient client = NeunetsClient.connect(options.get("--server"))) {
            Dataset dataset = client.register(options.get("--data"), 0);
            System.out.printf("%s: %d training images%n", dataset.getSource(), dataset.getTrainRows());
            Path out = Path.of(options.get("--out"));
            List<Path> files = client.download(synthesize(client, dataset, options.get("--trials")), out);
            System.out.printf("downloaded %s%n", files);
            try (Predictor predictor = new Predictor(out.resolve("model.onnx"))) {
                byte[] images = Files.readAllBytes(Path.of(options.get("--images")));
                float[][] probabilities = predictor.probabilities(images, dataset.getInput().getShapeList());
                Path predictions = out.resolve("predictions.csv");
                Files.write(predictions, Stream.of(probabilities).map(Synthesize::line).toList());
                System.out.printf("%d predictions in %s%n", probabilities.length, predictions);
            }
        } catch (NeunetsException error) {
            System.err.printf("%s: %s%n", error.code(), error.getMessage());
            System.exit(1);
        }
    }

    /** Returns: the name of the exported model. */
    private static String synthesize(NeunetsClient client, Dataset dataset, String trials) {
        RunSpec spec = RunSpec.newBuilder()
                .setDataset(dataset.getName())
                .setTrials(Integer.parseInt(trials))
                .build();
        String name = client.start(spec).getName();
        System.out.printf("%s started%n", name);
        try (Stream<WatchRunResponse> events = client.watch(name, 0)) {
            events.map(response -> told(response.getEvent()))
                    .filter(text -> !text.isEmpty())
                    .forEach(System.out::println);
        }
        Run run = client.get(name);
        if (run.getState() != RunState.RUN_STATE_COMPLETED) {
            System.err.printf("%s ended as %s: %s%n", name, run.getState(), run.getReason());
            System.exit(1);
        }
        return run.getModel();
    }

    /** One line for an event of interest; empty: it is none. */
    private static String told(RunEvent event) {
        return switch (event.getEventCase()) {
            case STATE_CHANGED -> "state " + event.getStateChanged().getTo().name().substring("RUN_STATE_".length());
            case SEARCH -> told(event.getSearch());
            case FINAL_TRAINING -> "final training of the network of trial " + event.getFinalTraining().getOf();
            case MODEL_EXPORTED -> "exported " + event.getModelExported().getModel();
            default -> "";
        };
    }

    private static String told(Event event) {
        return switch (event.getEventCase()) {
            case PROPOSED -> event.getProposed().getCandidatesCount() + " candidates proposed";
            case STARTED -> "trial " + event.getStarted().getTrial() + " started on " + event.getStarted().getDevice();
            case ENDED -> String.format(
                    Locale.ROOT,
                    "trial %s %s, validation accuracy %.4f",
                    event.getEnded().getTrial(),
                    event.getEnded().getState().name().substring("STATE_".length()),
                    event.getEnded().getMetricsOrDefault("valid_accuracy", Double.NaN));
            default -> "";
        };
    }

    private static String line(float[] probabilities) {
        StringBuilder line = new StringBuilder();
        for (float probability : probabilities) {
            line.append(line.isEmpty() ? "" : ",").append(String.format(Locale.ROOT, "%.8e", probability));
        }
        return line.toString();
    }

    private static Map<String, String> options(String[] words) {
        Map<String, String> options = new HashMap<>(Map.of("--data", "digits", "--trials", "2"));
        for (int at = 0; at + 1 < words.length; at += 2) {
            options.put(words[at], words[at + 1]);
        }
        if (words.length % 2 != 0 || !options.keySet().equals(OPTIONS)) {
            System.err.println(USAGE);
            System.exit(2);
        }
        return options;
    }
}
