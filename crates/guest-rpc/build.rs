//! Compiles the guest contract: the generated code, and the descriptor set that server reflection serves.

use std::error::Error;
use std::path::Path;
use std::{env, fs};

use prost::Message;

const PROTO: &str = "redtrove/guest/v1/guest.proto";

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    println!("cargo::rerun-if-changed={}", root.join(PROTO).display());

    let mut descriptors = protox::compile([PROTO], [&root])?;
    // btree_map: settings are compared and written in one order.
    tonic_prost_build::configure().btree_map(".").emit_rerun_if_changed(false).compile_fds(descriptors.clone())?;

    // Reflection needs no comments and no positions.
    for file in &mut descriptors.file {
        file.source_code_info = None;
    }
    fs::write(Path::new(&env::var("OUT_DIR")?).join("descriptors.bin"), descriptors.encode_to_vec())?;
    Ok(())
}
