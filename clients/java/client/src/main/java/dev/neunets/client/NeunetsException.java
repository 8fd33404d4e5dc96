package dev.neunets.client;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;

/** What the engine refused, or why it could not be asked. The message is a sentence that a user can act on. */
public final class NeunetsException extends RuntimeException {
    private static final long serialVersionUID = 1L;
    private static final String DOMAIN = "synthesizer.neunets";

    private final Status.Code code;
    private final String reason;
    private final String field;

    NeunetsException(Status.Code code, String reason, String field, String message, Throwable cause) {
        super(message, cause);
        this.code = code;
        this.reason = reason;
        this.field = field;
    }

    /** The error that the engine raised, out of a call's status and its details. */
    static NeunetsException of(StatusRuntimeException error) {
        Status.Code code = error.getStatus().getCode();
        String reason = "";
        String field = "";
        com.google.rpc.Status status = StatusProto.fromThrowable(error);
        if (status != null) {
            for (Any detail : status.getDetailsList()) {
                try {
                    if (detail.is(ErrorInfo.class)) {
                        ErrorInfo info = detail.unpack(ErrorInfo.class);
                        reason = info.getDomain().equals(DOMAIN) ? info.getReason() : reason;
                    } else if (detail.is(BadRequest.class)) {
                        BadRequest bad = detail.unpack(BadRequest.class);
                        field = bad.getFieldViolationsCount() > 0 ? bad.getFieldViolations(0).getField() : field;
                    }
                } catch (InvalidProtocolBufferException unreadable) {
                    error.addSuppressed(unreadable);
                }
            }
        }
        return new NeunetsException(code, reason, field, sentence(error.getStatus(), reason), error);
    }

    private static String sentence(Status status, String reason) {
        String text = status.getDescription() != null ? status.getDescription() : status.getCode().name();
        if (status.getCode() != Status.Code.UNAVAILABLE || !reason.isEmpty()) {
            return text;
        }
        Throwable cause = status.getCause();
        return "the engine does not answer: " + text + (cause != null ? ", " + cause.getMessage() : "");
    }

    /** gRPC's code: NOT_FOUND, INVALID_ARGUMENT, FAILED_PRECONDITION, … */
    public Status.Code code() {
        return code;
    }

    /** The engine's own word for it ("REQUEST_ID_REUSED"); empty where the transport failed, not the engine. */
    public String reason() {
        return reason;
    }

    /** Path of the field that is refused ("spec.metric"); empty where it is not about a field. */
    public String field() {
        return field;
    }

    /** The engine, or the way to it, was lost: the same call may succeed later. */
    boolean isLost() {
        boolean cancelledByTheEngine = code == Status.Code.CANCELLED && reason.isEmpty();
        return code == Status.Code.UNAVAILABLE || cancelledByTheEngine;
    }
}
