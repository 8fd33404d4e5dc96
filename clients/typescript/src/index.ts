export { type CallOptions, Client, type ConnectOptions, connect } from "./client.js";
export { type Code, NeunetsError } from "./errors.js";
export * as graph from "./gen/neunets/graph/v1/graph_pb.js";
export * as service from "./gen/neunets/service/v1/service_pb.js";
export * as synthesizer from "./gen/neunets/synthesizer/v1/synthesizer_pb.js";
