import { rename, writeFile } from "node:fs/promises";
import { isIPv4 } from "node:net";
import { join } from "node:path";
import { createSecureContext } from "node:tls";
import { credentials, ServerCredentials, type ServerInterceptor } from "@grpc/grpc-js";
import { Channel } from "../channel.js";
import { badField } from "./refusals.js";
import { ENGINE_NAME, engineOnly, Folder, type Pems, Rotating } from "./tls.js";

export type Environment = Readonly<Record<string, string | undefined>>;

/** The way from the engine to this process. */
export interface Site {
  /** HOST:PORT or unix:PATH, to listen on. */
  readonly address: string;
  /** Of the environment, which says the address. */
  readonly variable: string;
  readonly credentials: ServerCredentials;
  /** In front of every call. */
  readonly interceptors: ServerInterceptor[];
  /** Whether it ends with the engine. */
  readonly isChild: boolean;
}

/** And back: it registers. */
export interface Place extends Site {
  /** gRPC target, as the engine calls it. */
  readonly endpoint: string;
  readonly token: string;
  /** Whether it outlives an engine, and registers with the next one. */
  readonly isKept: boolean;
  /** A new one, to the plugin host. */
  channel(): Channel;
  /** From now on show another certificate (PEM), of the same key. */
  rotate(certificate: Uint8Array): Promise<void>;
}

/** Throws what is missing, by the variable's name. */
export function placeOf(environment: Environment): Place | Alone {
  const { NEUNETS_ENROLMENT: folder, NEUNETS_LISTEN: address, NEUNETS_HOST: host } = environment;
  if (folder) return new Enrolled(environment, folder);
  if (address && !host) return new Alone(environment, address);
  return new Launched(environment);
}

class Launched implements Place {
  readonly isKept = false;
  readonly variable = "NEUNETS_SOCKET_DIR";
  readonly credentials = ServerCredentials.createInsecure();
  readonly interceptors = []; // nobody else may open the socket
  readonly address: string;
  readonly token: string;
  readonly isChild: boolean;
  readonly #host: string;

  constructor(environment: Environment) {
    const hint = "a synthesizer is started by the engine, or on another host with NEUNETS_ENROLMENT";
    this.#host = needed(environment, "NEUNETS_HOST", hint);
    this.token = needed(environment, "NEUNETS_LAUNCH_TOKEN", hint);
    this.address = `unix:${join(needed(environment, "NEUNETS_SOCKET_DIR", hint), `${process.pid}.sock`)}`;
    this.isChild = environment.NEUNETS_PARENT_DEATH === "1";
  }

  get endpoint(): string {
    return this.address;
  }

  channel(): Channel {
    return new Channel(this.#host);
  }

  async rotate(): Promise<void> {} // a socket has no certificate
}

class Enrolled implements Place {
  readonly isKept = true;
  readonly isChild = false;
  readonly variable = "NEUNETS_LISTEN";
  readonly interceptors = [engineOnly];
  readonly address: string;
  readonly endpoint: string;
  readonly token: string;
  readonly credentials: Rotating;
  readonly #folder: Folder;
  readonly #host: string;
  #pems: Pems;

  constructor(environment: Environment, folder: string) {
    this.address = needed(environment, "NEUNETS_LISTEN", "the address on which the engine reaches it, HOST:PORT");
    this.endpoint = environment.NEUNETS_ENDPOINT || this.address;
    this.#folder = new Folder("NEUNETS_ENROLMENT", folder, "enrol with `neunets synthesizers enroll`");
    this.#pems = this.#folder.pems();
    this.credentials = new Rotating(this.#pems);
    this.token = this.#folder.read("token").toString().trim();
    this.#host = this.#folder.read("host").toString().trim();
  }

  channel(): Channel {
    const { ca, cert, key } = this.#pems;
    return new Channel(this.#host, credentials.createSsl(ca, key, cert), {
      "grpc.ssl_target_name_override": ENGINE_NAME,
    });
  }

  async rotate(certificate: Uint8Array): Promise<void> {
    const pems = { ...this.#pems, cert: Buffer.from(certificate) };
    createSecureContext(pems); // throws where it is of another key
    const path = join(this.#folder.path, "cert.pem");
    await writeFile(`${path}.part`, certificate);
    await rename(`${path}.part`, path);
    this.#pems = pems;
    this.credentials.show(pems);
  }
}

/** It registers nowhere: the engine's operator lists its address. */
export class Alone implements Site {
  readonly isChild = false;
  readonly variable = "NEUNETS_LISTEN";
  readonly interceptors = []; // whoever has a certificate of the authority
  readonly credentials: ServerCredentials;

  constructor(
    environment: Environment,
    readonly address: string,
  ) {
    if (environment.NEUNETS_TLS) {
      const hint = "it names a folder with ca.pem, cert.pem and key.pem";
      const { ca, cert, key } = new Folder("NEUNETS_TLS", environment.NEUNETS_TLS, hint).pems();
      this.credentials = ServerCredentials.createSsl(ca, [{ private_key: key, cert_chain: cert }], true);
    } else if (isOpenToOthers(address)) {
      const fix = "set NEUNETS_TLS, or listen on 127.0.0.1";
      throw badField(this.variable, `${address} is open to other machines, without encryption: ${fix}`);
    } else {
      this.credentials = ServerCredentials.createInsecure();
    }
  }
}

function isOpenToOthers(address: string): boolean {
  if (address.startsWith("unix:")) return false;
  const host = address.slice(0, address.lastIndexOf(":")).replace(/^\[|\]$/g, "");
  return !(host === "localhost" || host === "::1" || (isIPv4(host) && host.startsWith("127.")));
}

function needed(environment: Environment, name: string, hint: string): string {
  const value = environment[name];
  if (!value) throw badField(name, `it is not set: ${hint}`);
  return value;
}
