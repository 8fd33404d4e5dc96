package dev.neunets.client;

import io.grpc.Context;
import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.time.Duration;
import java.util.concurrent.ThreadLocalRandom;
import java.util.function.LongFunction;

/**
 * The tries of one call, by the contract's table: lost, it is made again after a pause that doubles; too slow, once
 * more with twice the time; refused, it is not repeated. A stream that has come on starts the count again.
 */
final class Tries {
    private final ManagedChannel channel;
    private final Patience patience;
    private final Duration deadline;
    private int lost;
    private boolean extended;

    Tries(ManagedChannel channel, Patience patience, Duration deadline) {
        this.channel = channel;
        this.patience = patience;
        this.deadline = deadline;
    }

    /** Makes the call, which is given its deadline in milliseconds, until it succeeds. */
    <T> T call(LongFunction<T> call) {
        while (true) {
            try {
                return call.apply(deadlineMs());
            } catch (StatusRuntimeException error) {
                failed(error);
            }
        }
    }

    long deadlineMs() {
        return (extended ? 2 : 1) * deadline.toMillis();
    }

    void cameOn() {
        lost = 0;
        extended = false;
    }

    /** Returns when it is time for the next try; throws where there is none. */
    void failed(StatusRuntimeException raw) {
        NeunetsException error = NeunetsException.of(raw);
        if (Context.current().isCancelled()) {
            throw error;
        }
        if (error.code() == Status.Code.DEADLINE_EXCEEDED && !extended) {
            extended = true;
            return;
        }
        if (!error.isLost() || ++lost >= patience.tries()) {
            throw error;
        }
        pause(error);
        channel.resetConnectBackoff(); // the channel's own pauses grow to minutes
    }

    private void pause(NeunetsException error) {
        double doubled = patience.firstPause().toMillis() * Math.pow(2, lost - 1);
        double longest = Math.min(doubled, patience.longestPause().toMillis());
        try {
            Thread.sleep((long) ThreadLocalRandom.current().nextDouble(longest / 2, longest));
        } catch (InterruptedException interrupt) {
            Thread.currentThread().interrupt();
            throw error;
        }
    }
}
