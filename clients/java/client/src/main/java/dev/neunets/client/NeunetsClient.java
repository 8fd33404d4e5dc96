package dev.neunets.client;

import dev.neunets.service.v1.Artifact;
import dev.neunets.service.v1.CreateRunRequest;
import dev.neunets.service.v1.Dataset;
import dev.neunets.service.v1.DatasetsGrpc;
import dev.neunets.service.v1.ExportModelRequest;
import dev.neunets.service.v1.GetRunRequest;
import dev.neunets.service.v1.ListModelsRequest;
import dev.neunets.service.v1.ListModelsResponse;
import dev.neunets.service.v1.Model;
import dev.neunets.service.v1.ModelsGrpc;
import dev.neunets.service.v1.ReadProgress;
import dev.neunets.service.v1.RegisterDatasetRequest;
import dev.neunets.service.v1.RegisterDatasetResponse;
import dev.neunets.service.v1.Run;
import dev.neunets.service.v1.RunSpec;
import dev.neunets.service.v1.RunState;
import dev.neunets.service.v1.RunsGrpc;
import dev.neunets.service.v1.StopRunRequest;
import dev.neunets.service.v1.WatchRunResponse;
import io.grpc.Channel;
import io.grpc.ChannelCredentials;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.Iterator;
import java.util.List;
import java.util.Set;
import java.util.Spliterator;
import java.util.Spliterators;
import java.util.UUID;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;

/**
 * An engine's service API in Java's words. Every call has a deadline; one that is lost is made again for about twenty
 * seconds, and what the engine refuses is thrown as {@link NeunetsException}. Safe for use by many threads.
 */
public final class NeunetsClient implements AutoCloseable {
    private static final Duration REGISTER_DEADLINE = Duration.ofHours(1);
    private static final Duration DOWNLOAD_DEADLINE = Duration.ofMinutes(10);
    private static final Duration WATCH_DEADLINE = Duration.ofMinutes(1);
    private static final Pattern LOCAL =
            Pattern.compile("unix:.*|((dns|ipv4|ipv6):(///)?)?(localhost|127(\\.\\d{1,3}){3}|\\[::1])(:\\d+)?");
    private static final Set<RunState> ENDED = EnumSet.of(
            RunState.RUN_STATE_COMPLETED,
            RunState.RUN_STATE_STOPPED,
            RunState.RUN_STATE_FAILED,
            RunState.RUN_STATE_PAUSED);

    private final ManagedChannel channel;
    private final Patience patience;
    private final DatasetsGrpc.DatasetsBlockingStub datasets;
    private final RunsGrpc.RunsBlockingStub runs;
    private final ModelsGrpc.ModelsBlockingStub models;

    NeunetsClient(ManagedChannel channel, Patience patience) {
        this.channel = channel;
        this.patience = patience;
        datasets = DatasetsGrpc.newBlockingStub(channel);
        runs = RunsGrpc.newBlockingStub(channel);
        models = ModelsGrpc.newBlockingStub(channel);
    }

    /** To the engine at a gRPC target ("127.0.0.1:7390"), in plain text. The first call connects. */
    public static NeunetsClient connect(String target) {
        return connect(target, InsecureChannelCredentials.create());
    }

    /** As {@link #connect(String)}, with TLS. */
    public static NeunetsClient connect(String target, ChannelCredentials credentials) {
        return new NeunetsClient(builder(target, credentials).build(), Patience.USUAL);
    }

    /** On this machine no proxy of the system leads anywhere. */
    static ManagedChannelBuilder<?> builder(String target, ChannelCredentials credentials) {
        ManagedChannelBuilder<?> builder = Grpc.newChannelBuilder(target, credentials);
        return LOCAL.matcher(target).matches() ? builder.proxyDetector(address -> null) : builder;
    }

    /** Has the engine read a path on its machine, or a built-in data set ("digits"). `seed`: of the splits. */
    public Dataset register(String source, long seed) {
        RegisterDatasetRequest request =
                RegisterDatasetRequest.newBuilder().setSource(source).setSeed(seed).build();
        return register(request, progress -> {});
    }

    /** The same content gives the same data set. `tell` hears of the progress at least once a second. */
    public Dataset register(RegisterDatasetRequest request, Consumer<ReadProgress> tell) {
        return tries(REGISTER_DEADLINE).call(deadlineMs -> {
            Iterator<RegisterDatasetResponse> responses =
                    datasets.withDeadlineAfter(deadlineMs, TimeUnit.MILLISECONDS).register(request);
            Dataset dataset = Dataset.getDefaultInstance();
            while (responses.hasNext()) {
                RegisterDatasetResponse response = responses.next();
                if (response.hasProgress()) {
                    tell.accept(response.getProgress());
                } else {
                    dataset = response.getDataset();
                }
            }
            return dataset;
        });
    }

    /** Starts one run, however often the call has to be made. */
    public Run start(RunSpec spec) {
        return start(spec, UUID.randomUUID());
    }

    /** The same id gives the same run for 24 hours; with another spec it is refused with ALREADY_EXISTS. */
    public Run start(RunSpec spec, UUID requestId) {
        CreateRunRequest request =
                CreateRunRequest.newBuilder().setRequestId(requestId.toString()).setSpec(spec).build();
        return unary().call(deadlineMs -> runs.withDeadlineAfter(deadlineMs, TimeUnit.MILLISECONDS).create(request));
    }

    /** The run as it is. */
    public Run get(String run) {
        GetRunRequest request = GetRunRequest.newBuilder().setName(run).build();
        return unary().call(deadlineMs -> runs.withDeadlineAfter(deadlineMs, TimeUnit.MILLISECONDS).get(request));
    }

    /**
     * Every event of the run after the one numbered `after` (0: all), and new ones as they come, until the run has
     * ended or is paused. A lost engine is found again and the watch goes on, without gap or repeat. Close the stream
     * to stop earlier. Each element has an event, and the run as it is.
     */
    public Stream<WatchRunResponse> watch(String run, long after) {
        RunWatch watch = new RunWatch(runs, run, after, tries(WATCH_DEADLINE), this::hasEnded);
        int order = Spliterator.ORDERED | Spliterator.NONNULL;
        return StreamSupport.stream(Spliterators.spliteratorUnknownSize(watch, order), false).onClose(watch::close);
    }

    /** Returns: the run once it is COMPLETED, STOPPED, FAILED or PAUSED. */
    public Run waitFor(String run) {
        try (Stream<WatchRunResponse> events = watch(run, get(run).getSeq())) {
            events.forEach(event -> {});
        }
        return get(run);
    }

    /**
     * MODE_FINISH takes the best network so far, MODE_ABORT ends at once without one. A run that has ended refuses it
     * with FAILED_PRECONDITION, also where an answer to the same call was lost.
     */
    public Run stop(String run, StopRunRequest.Mode mode) {
        StopRunRequest request = StopRunRequest.newBuilder().setName(run).setMode(mode).build();
        return unary().call(deadlineMs -> runs.withDeadlineAfter(deadlineMs, TimeUnit.MILLISECONDS).stop(request));
    }

    /** Every trained network of the run, in the order of the trials. */
    public List<Model> models(String run) {
        List<Model> found = new ArrayList<>();
        String token = "";
        do {
            ListModelsRequest request =
                    ListModelsRequest.newBuilder().setParent(run).setPageToken(token).build();
            ListModelsResponse page = unary().call(
                    deadlineMs -> models.withDeadlineAfter(deadlineMs, TimeUnit.MILLISECONDS).list(request));
            found.addAll(page.getModelsList());
            token = page.getNextPageToken();
        } while (!token.isEmpty());
        return found;
    }

    /**
     * Writes all files of an exported model ("runs/ID/models/TRIAL") into `folder`, each under its name once its
     * SHA-256 is right. What an earlier call left behind, whole or in part, is not fetched again.
     *
     * <p>Returns: the files. FAILED_PRECONDITION: the model is not exported. DATA_LOSS: a file arrived damaged.
     */
    public List<Path> download(String model, Path folder) throws IOException {
        ExportModelRequest request = ExportModelRequest.newBuilder().setName(model).build();
        Model exported = unary()
                .call(deadlineMs -> models.withDeadlineAfter(deadlineMs, TimeUnit.MILLISECONDS).export(request))
                .getModel();
        Files.createDirectories(folder);
        List<Path> written = new ArrayList<>();
        for (Artifact artifact : exported.getArtifactsList()) {
            written.add(new Download(models, model, artifact, folder).fetch(tries(DOWNLOAD_DEADLINE)));
        }
        return written;
    }

    /** For what this class has no word for: the generated stubs of `dev.neunets.service.v1` work on it. */
    public Channel channel() {
        return channel;
    }

    /** Ends the calls that are under way, too. */
    @Override
    public void close() {
        channel.shutdownNow();
    }

    private boolean hasEnded(String run) {
        return ENDED.contains(get(run).getState());
    }

    private Tries unary() {
        return tries(patience.call());
    }

    private Tries tries(Duration deadline) {
        return new Tries(channel, patience, deadline);
    }
}
