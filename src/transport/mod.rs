//! What callers see: gRPC, and the browser's HTTP.
//!
//! * [`proto`]: the generated contract
//! * [`grpc`]: the services, each RPC decode → authority → encode
//! * [`http`]: the browser's adapter, a client of the gRPC service, and the health routes
//! * [`callers`]: who may call, and the gate before every RPC and route
//! * [`limits`]: rates, deadlines, sizes, and how much may be under way
//! * [`serve`]: connections, with TLS and without
//! * [`fault`]: every error's gRPC code, HTTP status and reason, in one place
//! * [`observe`]: a span and one log line for each request
//! * [`codec`]: protobuf on the wire

pub mod callers;
pub mod codec;
pub mod fault;
pub mod grpc;
pub mod http;
pub mod limits;
pub mod observe;
pub mod proto;
pub mod serve;
