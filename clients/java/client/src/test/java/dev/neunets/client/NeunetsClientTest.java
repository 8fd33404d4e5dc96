package dev.neunets.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.neunets.service.v1.Artifact;
import dev.neunets.service.v1.Dataset;
import dev.neunets.service.v1.Model;
import dev.neunets.service.v1.Run;
import dev.neunets.service.v1.RunEvent;
import dev.neunets.service.v1.RunSpec;
import dev.neunets.service.v1.RunState;
import dev.neunets.service.v1.StopRunRequest;
import dev.neunets.service.v1.WatchRunResponse;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.Status;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ProxySelector;
import java.net.ServerSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.time.Duration;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.UUID;
import java.util.stream.LongStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.condition.EnabledIfEnvironmentVariable;
import org.junit.jupiter.api.io.TempDir;

/** Against a real engine at NEUNETS_SERVER; one short synthesis serves all tests that read. */
@Timeout(300)
@EnabledIfEnvironmentVariable(
        named = "NEUNETS_SERVER",
        matches = ".+",
        disabledReason = "`with_engine.py make -C clients/java test` sets it")
class NeunetsClientTest {
    private static final String SERVER = System.getenv("NEUNETS_SERVER");

    private static NeunetsClient client;
    private static Dataset dataset;
    private static Run run;
    private static List<WatchRunResponse> events;

    @TempDir
    Path folder;

    @BeforeAll
    static void synthesize() {
        client = NeunetsClient.connect(SERVER);
        dataset = client.register("digits", 0);
        run = client.start(spec().build());
        try (Stream<WatchRunResponse> watch = client.watch(run.getName(), 0)) {
            events = watch.toList();
        }
        run = client.get(run.getName());
    }

    @AfterAll
    static void close() {
        if (client != null) {
            client.close();
        }
    }

    @Test
    void aRunOfTwoTrialsIsCompleted() {
        assertEquals(RunState.RUN_STATE_COMPLETED, run.getState(), run.getReason());
        assertEquals(2, run.getTrialsEnded());
        assertTrue(client.models(run.getName()).stream().map(Model::getName).toList().contains(run.getModel()));
    }

    @Test
    void aWatchGivesEveryEventOnceAndInOrder() {
        assertEquals(numbers(1, run.getSeq()), sequence(events));
        assertTrue(events.stream().map(WatchRunResponse::getEvent).anyMatch(RunEvent::hasModelExported));
    }

    @Test
    void aWatchGoesOnAfterAnEvent() {
        long middle = run.getSeq() / 2;
        try (Stream<WatchRunResponse> watch = client.watch(run.getName(), middle)) {
            assertEquals(numbers(middle + 1, run.getSeq()), sequence(watch.toList()));
        }
    }

    @Test
    void aWatchOverABadLineHasNoGapAndNoRepeat() throws IOException {
        try (Relay relay = new Relay(SERVER, 3, 4096);
                NeunetsClient distant = NeunetsClient.connect(relay.target());
                Stream<WatchRunResponse> watch = distant.watch(run.getName(), 0)) {
            assertEquals(numbers(1, run.getSeq()), sequence(watch.toList()));
            assertEquals(0, relay.cutsLeft());
        }
    }

    @Test
    void aClosedWatchEnds() {
        Run other = client.start(spec().setTrials(50).build());
        Stream<WatchRunResponse> watch = client.watch(other.getName(), 0);
        watch.peek(first -> watch.close()).forEach(response -> {});
        client.stop(other.getName(), StopRunRequest.Mode.MODE_ABORT);
        assertEquals(RunState.RUN_STATE_STOPPED, client.waitFor(other.getName()).getState());
    }

    @Test
    void aModelIsDownloadedWhole() throws Exception {
        List<Path> files = client.download(run.getModel(), folder);
        assertTrue(files.contains(folder.resolve("model.onnx")));
        assertAllAreWhole();
    }

    @Test
    void aDownloadGoesOnWhereItBroke() throws Exception {
        client.download(run.getModel(), folder);
        Artifact artifact = artifact("model.onnx");
        Path file = folder.resolve(artifact.getFile());
        byte[] whole = Files.readAllBytes(file);
        Files.delete(file);
        Path part = part(artifact);
        Files.write(part, Arrays.copyOf(whole, whole.length - 100));
        try (Relay relay = new Relay(SERVER, 0, 0);
                NeunetsClient distant = NeunetsClient.connect(relay.target())) {
            distant.download(run.getModel(), folder);
            assertTrue(relay.received() < whole.length, relay.received() + " bytes came for the last 100");
        }
        assertAllAreWhole();
        assertFalse(Files.exists(part));
    }

    @Test
    void aDownloadOverABadLineIsWhole() throws Exception {
        try (Relay relay = new Relay(SERVER, 3, 20_000);
                NeunetsClient distant = NeunetsClient.connect(relay.target())) {
            distant.download(run.getModel(), folder);
            assertEquals(0, relay.cutsLeft());
        }
        assertAllAreWhole();
    }

    @Test
    void aDamagedPartIsRefusedAndThenFetchedAgain() throws Exception {
        Artifact artifact = artifact("model.onnx");
        Files.write(part(artifact), new byte[10]);
        NeunetsException error =
                assertThrows(NeunetsException.class, () -> client.download(run.getModel(), folder));
        assertEquals(Status.Code.DATA_LOSS, error.code());
        client.download(run.getModel(), folder);
        assertAllAreWhole();
    }

    @Test
    void anUnknownRunIsNotFound() {
        NeunetsException error = assertThrows(NeunetsException.class, () -> client.get("runs/none"));
        assertEquals(Status.Code.NOT_FOUND, error.code());
        assertEquals("NOT_FOUND", error.reason());
        assertThrows(NeunetsException.class, () -> client.watch("runs/none", 0).toList());
    }

    @Test
    void aBadSpecNamesTheField() {
        RunSpec bad = spec().setDataset("datasets/none").build();
        NeunetsException error = assertThrows(NeunetsException.class, () -> client.start(bad));
        assertEquals(Status.Code.INVALID_ARGUMENT, error.code());
        assertEquals("BAD_FIELD", error.reason());
        assertEquals("spec.dataset", error.field());
    }

    @Test
    void aRunThatHasEndedCannotBeStopped() {
        NeunetsException error = assertThrows(
                NeunetsException.class, () -> client.stop(run.getName(), StopRunRequest.Mode.MODE_FINISH));
        assertEquals(Status.Code.FAILED_PRECONDITION, error.code());
    }

    @Test
    void theSameRequestStartsOneRun() {
        UUID request = UUID.randomUUID();
        Run first = client.start(spec().build(), request);
        assertEquals(first.getName(), client.start(spec().build(), request).getName());
        NeunetsException error =
                assertThrows(NeunetsException.class, () -> client.start(spec().setSeed(1).build(), request));
        assertEquals(Status.Code.ALREADY_EXISTS, error.code());
        assertEquals("REQUEST_ID_REUSED", error.reason());
        client.stop(first.getName(), StopRunRequest.Mode.MODE_ABORT);
        assertEquals(RunState.RUN_STATE_STOPPED, client.waitFor(first.getName()).getState());
    }

    @Test
    void anEngineThatIsNotThereIsGivenUpAfterAllTries() throws IOException {
        int port;
        try (ServerSocket free = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            port = free.getLocalPort();
        }
        try (NeunetsClient nowhere = impatient(port)) {
            NeunetsException error = assertThrows(NeunetsException.class, () -> nowhere.get(run.getName()));
            assertEquals(Status.Code.UNAVAILABLE, error.code());
            assertEquals("", error.reason());
        }
    }

    @Test
    void anEngineThatHangsGetsTwiceTheTimeOnce() throws IOException {
        try (ServerSocket silent = new ServerSocket(0, 1, InetAddress.getLoopbackAddress());
                NeunetsClient hanging = impatient(silent.getLocalPort())) {
            long start = System.nanoTime();
            NeunetsException error = assertThrows(NeunetsException.class, () -> hanging.get(run.getName()));
            assertEquals(Status.Code.DEADLINE_EXCEEDED, error.code());
            assertTrue(Duration.ofNanos(System.nanoTime() - start).toMillis() >= 3 * 300);
        }
    }

    @Test
    void aProxyOfTheSystemDoesNotStandBeforeThisMachine() {
        ProxySelector before = ProxySelector.getDefault();
        ProxySelector.setDefault(ProxySelector.of(new InetSocketAddress("127.0.0.1", 9)));
        try (NeunetsClient straight = NeunetsClient.connect(SERVER)) {
            assertEquals(run.getName(), straight.get(run.getName()).getName());
        } finally {
            ProxySelector.setDefault(before);
        }
    }

    /** Waits 300 ms for a call, and tries three times. */
    private static NeunetsClient impatient(int port) {
        Patience patience = new Patience(Duration.ofMillis(300), Duration.ofMillis(1), Duration.ofMillis(4), 3);
        return new NeunetsClient(
                Grpc.newChannelBuilder("127.0.0.1:" + port, InsecureChannelCredentials.create()).build(), patience);
    }

    private static RunSpec.Builder spec() {
        return RunSpec.newBuilder().setDataset(dataset.getName()).setTrials(2).setMaxParams(50_000).setSeed(7);
    }

    private static List<Long> numbers(long first, long last) {
        return LongStream.rangeClosed(first, last).boxed().toList();
    }

    private static List<Long> sequence(List<WatchRunResponse> responses) {
        return responses.stream().map(response -> response.getEvent().getSeq()).toList();
    }

    private static List<Artifact> artifacts() {
        return client.models(run.getName()).stream()
                .filter(model -> model.getName().equals(run.getModel()))
                .findFirst()
                .orElseThrow()
                .getArtifactsList();
    }

    private static Artifact artifact(String file) {
        return artifacts().stream().filter(found -> found.getFile().equals(file)).findFirst().orElseThrow();
    }

    private Path part(Artifact artifact) {
        return folder.resolve("." + artifact.getFile() + "." + artifact.getRef().getSha256() + ".part");
    }

    private void assertAllAreWhole() throws Exception {
        for (Artifact artifact : artifacts()) {
            byte[] data = Files.readAllBytes(folder.resolve(artifact.getFile()));
            String sum = HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(data));
            assertEquals(artifact.getRef().getSha256(), sum, artifact.getFile());
        }
    }
}
