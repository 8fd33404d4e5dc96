//! Rust code from the protos, without protoc.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message;

fn main() -> Result<(), Box<dyn Error>> {
    let protos = ["neunets/synthesizer/v1/synthesizer.proto", "neunets/service/v1/service.proto"];
    println!("cargo:rerun-if-changed=../../protos/neunets");
    let descriptors = protox::compile(protos, ["../../protos"])?;
    fs::write(PathBuf::from(env::var("OUT_DIR")?).join("descriptors.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure().compile_fds(descriptors)?;
    Ok(())
}
