//! Speed of the engine on this machine: `cargo bench -p wardsmith-model --bench engine`.
use serde_json::json;
use std::time::Instant;
use wardsmith_model::layers::workspace::Workspace;
use wardsmith_model::params::Gradients;
use wardsmith_model::{Batch, Purpose, Target, adapter, checkpoint};

fn main() {
    rayon::ThreadPoolBuilder::new().num_threads(2).build_global().unwrap();
    let config = json!({"model_type":"llama","hidden_size":576,"num_hidden_layers":30,"num_attention_heads":9,"num_key_value_heads":3,
        "intermediate_size":1536,"vocab_size":49152,"tie_word_embeddings":true,"max_position_embeddings":2048});
    let mut model = checkpoint::initialise(config, None, 1, Purpose::Training).unwrap();
    let lora = adapter::LoraConfig {
        r: 16,
        lora_alpha: 32.0,
        target_modules: ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
            .map(String::from)
            .to_vec(),
    };
    adapter::attach(&mut model, &lora, 1).unwrap();
    let mut seed = 1_u64;
    let ids: Vec<u32> = (0..512)
        .map(|_| {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            ((seed >> 33) % 49152) as u32
        })
        .collect();
    let targets = (0..4)
        .flat_map(|d| (0..127).map(move |i| d * 128 + i))
        .map(|p| Target { position: p as u32, token: ids[p + 1] })
        .collect();
    let batch = Batch { ids, lengths: vec![128; 4], targets, ..Batch::default() };
    let mut gradients = Gradients::zeros(&model.params);
    let mut workspace = Workspace::default();
    let mut rates = Vec::new();
    for step in 1..=8 {
        let begun = Instant::now();
        let before = cpu_s();
        gradients.clear();
        let loss = model.accumulate(&batch, 1.0 / 508.0, &mut gradients, &mut workspace).unwrap() / 508.0;
        let s = begun.elapsed().as_secs_f64();
        let used = cpu_s() - before;
        let used = cpu_s() - before;
        rates.push(512.0 / s);
        eprintln!("step {step} loss {loss:.6} {:.1} tokens/s, {used:.2} s of CPU", 512.0 / s);
    }
    let mut r = rates[2..].to_vec();
    r.sort_by(f64::total_cmp);
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    eprintln!("median {:.1} tokens/s {}", r[r.len() / 2], status.lines().find(|l| l.starts_with("VmHWM")).unwrap());
}

/// User and system time of this process, seconds.
fn cpu_s() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = text.rsplit(')').next().unwrap().split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}
