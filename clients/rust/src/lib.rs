//! Serve a NeuNetS synthesizer, and drive an engine, from Rust.
//!
//! A synthesizer implements [`Synthesizer`] and [`Session`] and ends with [`serve`]. An application has a [`Client`], or
//! connects with [`connect`] and calls the generated clients in [`service`].

mod client;
mod errors;
mod launch;
mod place;
mod server;
mod settings;
pub mod spaces;

/// The messages and services of the wire, generated from the protos.
mod proto {
    pub mod graph {
        pub mod v1 {
            tonic::include_proto!("neunets.graph.v1");
        }
    }
    pub mod synthesizer {
        pub mod v1 {
            tonic::include_proto!("neunets.synthesizer.v1");
        }
    }
    pub mod service {
        pub mod v1 {
            tonic::include_proto!("neunets.service.v1");
        }
    }
}

pub use client::Client;
pub use errors::bad_field;
pub use launch::serve;
pub use place::connect;
pub use proto::{graph::v1 as graph, service::v1 as service, synthesizer::v1 as synthesizer};
pub use server::{Session, Synthesizer};
pub use settings::Settings;
