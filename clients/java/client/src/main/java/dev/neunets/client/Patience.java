package dev.neunets.client;

import java.time.Duration;

/**
 * How long a client waits: for one call at first, between tries, and how many tries in a row may fail.
 *
 * @param call deadline of a call that answers at once
 * @param firstPause before the second try; each further one doubles it
 * @param longestPause that it grows to
 * @param tries in a row without a word from the engine
 */
record Patience(Duration call, Duration firstPause, Duration longestPause, int tries) {
    /** The contract's; ten tries last about twenty seconds, enough for an engine to be started again. */
    static final Patience USUAL =
            new Patience(Duration.ofSeconds(10), Duration.ofMillis(200), Duration.ofSeconds(5), 10);
}
