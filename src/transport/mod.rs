//! The protocols: gRPC, and HTTP for browsers and OAuth clients.
//!
//! * [`proto`]: the code generated from the contract
//! * [`grpc`]: the services, each RPC decode → authority → encode
//! * [`http`]: the browser's adapter, a client of the gRPC service, and the health routes
//! * [`callers`]: callers, their roles, and the gate before every RPC and route
//! * [`limits`]: rates, deadlines, sizes, and the number of requests in flight
//! * [`serve`]: connections, with TLS and without
//! * [`fault`]: every error's gRPC code, HTTP status and reason, in one place
//! * [`observe`]: a span and one log line for each request
//! * [`codec`]: the protobuf codec
//! * `page`: whether a page in a browser makes a request

pub mod callers;
pub mod codec;
pub mod fault;
pub mod grpc;
pub mod http;
pub mod limits;
pub mod observe;
mod page;
pub mod proto;
pub mod serve;
