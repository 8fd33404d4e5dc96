package dev.neunets.client;

import dev.neunets.service.v1.Artifact;
import dev.neunets.service.v1.DownloadRequest;
import dev.neunets.service.v1.DownloadResponse;
import dev.neunets.service.v1.ModelsGrpc;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.Iterator;
import java.util.concurrent.TimeUnit;

/** One file of a model: what is there already is kept, the rest fetched; it gets its name once its sum is right. */
final class Download {
    private static final int BUFFER_BYTES = 1 << 16;

    private final ModelsGrpc.ModelsBlockingStub models;
    private final String model;
    private final Artifact artifact;
    private final Path path;
    private final Path scratch;

    Download(ModelsGrpc.ModelsBlockingStub models, String model, Artifact artifact, Path folder) {
        this.models = models;
        this.model = model;
        this.artifact = artifact;
        if (!artifact.getFile().matches("[^./\\\\][^/\\\\]*")) {
            throw damaged("is no plain file name");
        }
        path = folder.resolve(artifact.getFile());
        // By its sum: what is left of another model's file is never continued.
        scratch = folder.resolve("." + artifact.getFile() + "." + artifact.getRef().getSha256() + ".part");
    }

    /** Returns: the file. */
    Path fetch(Tries tries) throws IOException {
        if (Files.exists(path) && isWhole(digestOf(path), Files.size(path))) {
            return path;
        }
        if (Files.exists(scratch) && Files.size(scratch) > artifact.getRef().getSize()) {
            Files.delete(scratch);
        }
        MessageDigest digest = Files.exists(scratch) ? digestOf(scratch) : sha256();
        append(digest, tries);
        if (!isWhole(digest, Files.size(scratch))) {
            Files.delete(scratch);
            throw damaged("does not have the SHA-256 that the engine keeps for it: download it again");
        }
        return Files.move(scratch, path, StandardCopyOption.REPLACE_EXISTING, StandardCopyOption.ATOMIC_MOVE);
    }

    private void append(MessageDigest digest, Tries tries) throws IOException {
        try (OutputStream file = Files.newOutputStream(scratch, StandardOpenOption.CREATE, StandardOpenOption.APPEND)) {
            long offset = Files.size(scratch);
            while (true) {
                Iterator<DownloadResponse> parts = call(offset, tries);
                try {
                    while (parts.hasNext()) {
                        byte[] data = parts.next().getData().toByteArray();
                        file.write(data);
                        digest.update(data);
                        offset += data.length;
                        tries.cameOn();
                    }
                    return;
                } catch (StatusRuntimeException error) {
                    tries.failed(error);
                }
            }
        }
    }

    private Iterator<DownloadResponse> call(long offset, Tries tries) {
        DownloadRequest request =
                DownloadRequest.newBuilder().setName(model).setFile(artifact.getFile()).setOffset(offset).build();
        return models.withDeadlineAfter(tries.deadlineMs(), TimeUnit.MILLISECONDS).download(request);
    }

    /** The digest is used up. */
    private boolean isWhole(MessageDigest digest, long size) {
        String sum = HexFormat.of().formatHex(digest.digest());
        return size == artifact.getRef().getSize() && sum.equals(artifact.getRef().getSha256());
    }

    private NeunetsException damaged(String what) {
        String message = artifact.getFile() + " of " + model + " " + what;
        return new NeunetsException(Status.Code.DATA_LOSS, "", "", message, null);
    }

    private static MessageDigest digestOf(Path path) throws IOException {
        MessageDigest digest = sha256();
        byte[] buffer = new byte[BUFFER_BYTES];
        try (InputStream file = Files.newInputStream(path)) {
            for (int read = file.read(buffer); read >= 0; read = file.read(buffer)) {
                digest.update(buffer, 0, read);
            }
        }
        return digest;
    }

    private static MessageDigest sha256() {
        try {
            return MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException error) {
            throw new AssertionError("every Java platform has SHA-256", error);
        }
    }
}
