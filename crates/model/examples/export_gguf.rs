//! `cargo run -p wardsmith-model --example export_gguf -- MODEL_DIR ENCODING OUT`: a model folder as a GGUF file.

use std::path::Path;

use wardsmith_model::Purpose;
use wardsmith_model::checkpoint::{Wanted, load};
use wardsmith_model::export::gguf::{Encoding, write};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, encoding, out] = arguments.as_slice() else {
        return Err("usage: export_gguf MODEL_DIR f32|f16|q8_0|q4_0 OUT".into());
    };
    let encoding = Encoding::ALL.into_iter().find(|e| e.name() == encoding).ok_or("no such encoding")?;
    let model = load(Path::new(folder), &Wanted::LanguageModel, Purpose::Inference)?;
    write(&model, Path::new(folder), encoding, Path::new(out))?;
    Ok(())
}
