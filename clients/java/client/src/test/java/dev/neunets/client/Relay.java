package dev.neunets.client;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;

/** A bad line to a real engine: its first `cuts` connections break once `bytes` have come back over them. */
final class Relay implements AutoCloseable {
    private final ServerSocket listener = new ServerSocket(0, 50, InetAddress.getLoopbackAddress());
    private final AtomicInteger cutsLeft;
    private final AtomicLong received = new AtomicLong();
    private final String host;
    private final int port;
    private final int bytes;

    Relay(String target, int cuts, int bytes) throws IOException {
        int colon = target.lastIndexOf(':');
        host = target.substring(0, colon);
        port = Integer.parseInt(target.substring(colon + 1));
        cutsLeft = new AtomicInteger(cuts);
        this.bytes = bytes;
        daemon(this::accept);
    }

    String target() {
        return "127.0.0.1:" + listener.getLocalPort();
    }

    int cutsLeft() {
        return Math.max(0, cutsLeft.get());
    }

    /** From the engine, over all connections. */
    long received() {
        return received.get();
    }

    @Override
    public void close() throws IOException {
        listener.close();
    }

    private void accept() throws IOException {
        while (true) {
            Socket client = listener.accept();
            Socket engine = new Socket(host, port);
            boolean breaks = cutsLeft.getAndDecrement() > 0;
            daemon(() -> pass(client, engine, Long.MAX_VALUE, new AtomicLong()));
            daemon(() -> pass(engine, client, breaks ? bytes : Long.MAX_VALUE, received));
        }
    }

    private static void pass(Socket from, Socket to, long most, AtomicLong total) throws IOException {
        byte[] buffer = new byte[1024];
        try (from; to) {
            InputStream source = from.getInputStream();
            OutputStream sink = to.getOutputStream();
            long passed = 0;
            for (int read = source.read(buffer); read >= 0 && passed < most; read = source.read(buffer)) {
                sink.write(buffer, 0, read);
                passed += read;
                total.addAndGet(read);
            }
        }
    }

    private interface Work {
        void run() throws IOException;
    }

    private static void daemon(Work work) {
        Thread thread = new Thread(() -> {
            try {
                work.run();
            } catch (IOException closed) {
                // One end was closed: so is the other, then.
            }
        });
        thread.setDaemon(true);
        thread.start();
    }
}
