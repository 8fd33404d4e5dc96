import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createSecureContext } from "node:tls";
import { ServerCredentials, ServerInterceptingCall, type ServerInterceptor, status } from "@grpc/grpc-js";
import { badField } from "./refusals.js";

/** In the engine's certificate, whatever its address is. */
export const ENGINE_NAME = "engine.neunets";

/** The authority, and what this process shows. */
export type Pems = Readonly<Record<"ca" | "cert" | "key", Buffer>>;

/** Files that a variable of the environment says where to find. */
export class Folder {
  constructor(
    private readonly variable: string,
    readonly path: string,
    private readonly hint: string,
  ) {}

  read(name: string): Buffer {
    try {
      return readFileSync(join(this.path, name));
    } catch (error) {
      throw this.#refused(error);
    }
  }

  pems(): Pems {
    const pems = { ca: this.read("ca.pem"), cert: this.read("cert.pem"), key: this.read("key.pem") };
    try {
      new X509Certificate(pems.ca); // a secure context takes anything for an authority
      createSecureContext(pems);
    } catch (error) {
      throw this.#refused(error);
    }
    return pems;
  }

  #refused(error: unknown): Error {
    const text = error instanceof Error ? error.message : error;
    return badField(this.variable, `${this.path} cannot be used (${text}): ${this.hint}`);
  }
}

/** Mutual TLS: each handshake shows the certificate of its time, and connections stay as they are. */
export class Rotating extends ServerCredentials {
  constructor(pems: Pems) {
    super({ requestCert: true, rejectUnauthorized: true }, pems);
  }

  show(pems: Pems): void {
    this.updateSecureContextOptions(pems);
  }

  override _equals(other: ServerCredentials): boolean {
    return this === other;
  }
}

/** Other synthesizers have certificates of the same authority. */
export const engineOnly: ServerInterceptor = (_, call) =>
  new ServerInterceptingCall(call, {
    start: (next) => {
      const { sslPeerCertificate: shown } = call.getAuthContext();
      if (shown && new X509Certificate(shown.raw).checkHost(ENGINE_NAME, { subject: "never" })) next();
      else call.sendStatus({ code: status.PERMISSION_DENIED, details: "only the engine may call this synthesizer" });
    },
  });
