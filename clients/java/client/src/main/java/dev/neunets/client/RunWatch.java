package dev.neunets.client;

import dev.neunets.service.v1.RunsGrpc;
import dev.neunets.service.v1.WatchRunRequest;
import dev.neunets.service.v1.WatchRunResponse;
import io.grpc.Context;
import io.grpc.StatusRuntimeException;
import java.util.Iterator;
import java.util.NoSuchElementException;
import java.util.concurrent.TimeUnit;
import java.util.function.Predicate;

/**
 * The events of a run, each once and in order, over as many calls as it takes. A call lives a minute: the engine says
 * something every 15 s, so that one which hangs is noticed, and a watch that nobody reads any more ends.
 */
final class RunWatch implements Iterator<WatchRunResponse>, AutoCloseable {
    private final RunsGrpc.RunsBlockingStub runs;
    private final String run;
    private final Tries tries;
    private final Predicate<String> hasEnded;
    private final Context.CancellableContext context = Context.current().withCancellation();
    private long seq;
    private Iterator<WatchRunResponse> responses;
    private WatchRunResponse next;
    private boolean ended;

    RunWatch(RunsGrpc.RunsBlockingStub runs, String run, long after, Tries tries, Predicate<String> hasEnded) {
        this.runs = runs;
        this.run = run;
        this.seq = after;
        this.tries = tries;
        this.hasEnded = hasEnded;
    }

    @Override
    public boolean hasNext() {
        while (next == null && !ended && !context.isCancelled()) {
            try {
                step();
            } catch (StatusRuntimeException error) {
                responses = null;
                if (!context.isCancelled()) {
                    tries.failed(error);
                }
            }
        }
        return next != null;
    }

    @Override
    public WatchRunResponse next() {
        if (!hasNext()) {
            throw new NoSuchElementException(run + " has no further events");
        }
        WatchRunResponse response = next;
        next = null;
        return response;
    }

    /** Ends the call that is under way, from any thread. */
    @Override
    public void close() {
        context.cancel(null);
    }

    private void step() {
        if (responses == null) {
            responses = call();
        } else if (responses.hasNext()) {
            WatchRunResponse response = responses.next();
            tries.cameOn();
            if (response.hasEvent()) {
                seq = response.getEvent().getSeq();
                next = response;
            }
        } else { // an engine that goes down in good order ends its streams, too
            responses = null;
            ended = hasEnded.test(run);
        }
    }

    private Iterator<WatchRunResponse> call() {
        WatchRunRequest request = WatchRunRequest.newBuilder().setName(run).setAfterSeq(seq).build();
        Context caller = context.attach();
        try {
            return runs.withDeadlineAfter(tries.deadlineMs(), TimeUnit.MILLISECONDS).watch(request);
        } finally {
            context.detach(caller);
        }
    }
}
