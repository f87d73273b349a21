//! Families: Hugging Face's `config.json` → [`DecoderSpec`] and a map of weight names. One file each.

pub mod bloom;
pub mod config;
pub mod gemma2;
pub mod gemma3_text;
pub mod gpt2;
pub mod gpt_neo;
pub mod gpt_neox;
pub mod llama;
pub mod mistral;
pub mod olmo2;
pub mod phi3;
pub mod qwen2;
pub mod qwen3;
pub mod rope;
pub mod smollm3;
pub mod windows;

use crate::error::{Error, Result};
use crate::spec::{DecoderSpec, NameMap};
use config::Config;

/// One family of decoders.
pub trait Family: Sync {
    /// `model_type` in `config.json`.
    fn model_type(&self) -> &'static str;
    /// What Transformers' classes begin with: `Llama` of `LlamaForCausalLM`.
    fn class_prefix(&self) -> &'static str;
    /// The class of the language model.
    fn language_model_class(&self) -> String {
        format!("{}ForCausalLM", self.class_prefix())
    }
    /// The class of the classifier.
    fn classifier_class(&self) -> String {
        format!("{}ForSequenceClassification", self.class_prefix())
    }
    /// Reads the configuration; whatever is not supported is refused by name.
    fn spec(&self, config: &Config) -> Result<DecoderSpec>;
    /// The names of the tensors.
    fn names(&self) -> NameMap;
}

/// Every family there is.
pub static ALL: &[&dyn Family] = &[
    &llama::Llama,
    &gpt_neo::GptNeo,
    &bloom::Bloom,
    &gpt2::Gpt2,
    &gpt_neox::GptNeoX,
    &mistral::Mistral,
    &qwen2::Qwen2,
    &qwen3::Qwen3,
    &gemma2::Gemma2,
    &gemma3_text::Gemma3Text,
    &phi3::Phi3,
    &olmo2::Olmo2,
    &smollm3::SmolLm3,
];

/// The family a configuration names.
pub fn family_of(config: &Config) -> Result<&'static dyn Family> {
    let name = config.text("model_type")?;
    let known = || ALL.iter().map(|f| format!("`{}`", f.model_type())).collect::<Vec<_>>().join(", ");
    let found = ALL.iter().copied().find(|f| f.model_type() == name);
    found.ok_or_else(|| Error::UnknownFamily { family: name, known: known() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::rotary::Scaling;
    use crate::spec::{BlockKind, Positions};
    use serde_json::{Value, json};

    fn spec(config: Value) -> DecoderSpec {
        let config = Config::new(config);
        family_of(&config).unwrap().spec(&config).unwrap()
    }

    fn rotary(spec: &DecoderSpec) -> (Vec<(f32, usize)>, &[Option<usize>]) {
        let Positions::Rotary { turns, of_layer, .. } = &spec.positions else { panic!("no rotary positions") };
        (turns.iter().map(|turn| (turn.theta, turn.dims)).collect(), of_layer)
    }

    // Below, the keys are those of configurations on the Hub, which are older than `rope_parameters` and leave out much.

    #[test]
    fn gemma_3_slides_in_five_layers_of_six_and_turns_them_by_another_base() {
        let spec = spec(json!({
            "model_type": "gemma3_text", "vocab_size": 262_144, "hidden_size": 1152, "intermediate_size": 6912,
            "num_hidden_layers": 26, "num_attention_heads": 4, "num_key_value_heads": 1, "head_dim": 256,
            "hidden_activation": "gelu_pytorch_tanh", "max_position_embeddings": 32_768, "query_pre_attn_scalar": 256,
            "rope_local_base_freq": 10_000, "rope_scaling": null, "rope_theta": 1_000_000, "sliding_window": 512,
            "sliding_window_pattern": 6, "attn_logit_softcapping": null, "final_logit_softcapping": null
        }));
        let (turns, of_layer) = rotary(&spec);
        assert_eq!((turns, spec.positions.limit()), (vec![(1e6, 256), (1e4, 256)], Some(32_768)));
        assert_eq!(of_layer[..7], [Some(1), Some(1), Some(1), Some(1), Some(1), Some(0), Some(1)]);
        assert_eq!(spec.windows[..7], [Some(512), Some(512), Some(512), Some(512), Some(512), None, Some(512)]);
        assert!(spec.tied && spec.logit_softcap.is_none() && spec.score_scale == 1.0 / 16.0);
    }

    #[test]
    fn gemma_2_has_its_caps_unless_they_are_null() {
        let config = json!({
            "model_type": "gemma2", "vocab_size": 256_000, "hidden_size": 2304, "intermediate_size": 9216,
            "num_hidden_layers": 26, "num_attention_heads": 8, "num_key_value_heads": 4, "hidden_act": "gelu_pytorch_tanh"
        });
        let usual = spec(config.clone());
        assert_eq!((usual.score_softcap, usual.logit_softcap, usual.head_dim), (Some(50.0), Some(30.0), 256));
        assert_eq!((usual.windows[0], usual.windows[1], usual.embedding_scale), (Some(4096), None, 48.0));
        let mut null = config;
        null["attn_logit_softcapping"] = Value::Null;
        assert_eq!(spec(null).score_softcap, None);
    }

    #[test]
    fn pythia_turns_a_quarter_of_each_head_and_can_be_sequential() {
        let config = json!({
            "model_type": "gpt_neox", "vocab_size": 50_304, "hidden_size": 768, "intermediate_size": 3072,
            "num_hidden_layers": 12, "num_attention_heads": 12, "rotary_pct": 0.25, "rotary_emb_base": 10_000,
            "use_parallel_residual": true
        });
        let parallel = spec(config.clone());
        assert_eq!(rotary(&parallel).0, [(10_000.0, 16)]);
        assert!(parallel.block == BlockKind::Parallel && parallel.biases.qkv && !parallel.tied);
        let mut sequential = config;
        sequential["use_parallel_residual"] = json!(false);
        assert_eq!(spec(sequential).block, BlockKind::PreNorm);
    }

    #[test]
    fn qwen_slides_only_when_told_to() {
        let mut config = json!({
            "model_type": "qwen2", "vocab_size": 151_936, "hidden_size": 896, "intermediate_size": 4864,
            "num_hidden_layers": 24, "num_attention_heads": 14, "num_key_value_heads": 2, "rope_theta": 1e6,
            "sliding_window": 32_768, "max_window_layers": 21, "use_sliding_window": false
        });
        assert_eq!(spec(config.clone()).windows, vec![None; 24]);
        config["use_sliding_window"] = json!(true);
        let windows = spec(config).windows;
        assert_eq!((windows[20], windows[21]), (None, Some(32_768)));
    }

    #[test]
    fn phi_with_longrope_goes_as_far_as_its_short_factors_hold() {
        let phi = spec(json!({
            "model_type": "phi3", "vocab_size": 200_064, "hidden_size": 3072, "intermediate_size": 8192,
            "num_hidden_layers": 2, "num_attention_heads": 24, "num_key_value_heads": 8, "partial_rotary_factor": 0.75,
            "max_position_embeddings": 131_072, "original_max_position_embeddings": 4096, "sliding_window": 262_144,
            "rope_scaling": {"type": "longrope", "short_factor": vec![1.0; 48], "long_factor": vec![2.0; 48]}
        }));
        let (turns, _) = rotary(&phi);
        assert_eq!((turns, phi.positions.limit()), (vec![(10_000.0, 96)], Some(4096)));
        let Positions::Rotary { turns, .. } = &phi.positions else { unreachable!() };
        let Scaling::PerFrequency { magnitude, .. } = turns[0].scaling else { panic!("{turns:?}") };
        assert!((magnitude - 1.190_238).abs() < 1e-5, "{magnitude}");
    }

    #[test]
    fn smollm3_leaves_out_the_positions_of_every_fourth_layer() {
        let spec = spec(json!({
            "model_type": "smollm3", "vocab_size": 128_256, "hidden_size": 2048, "intermediate_size": 11_008,
            "num_hidden_layers": 8, "num_attention_heads": 16, "num_key_value_heads": 4, "rope_theta": 5e6
        }));
        let some = Some(0);
        assert_eq!(rotary(&spec).1, [some, some, some, None, some, some, some, None]);
    }

    #[test]
    fn mistrals_window_is_4096_unless_it_is_null_and_its_heads_must_be_said() {
        let mut config = json!({
            "model_type": "mistral", "vocab_size": 32_000, "hidden_size": 4096, "intermediate_size": 14_336,
            "num_hidden_layers": 2, "num_attention_heads": 32, "num_key_value_heads": 8
        });
        assert_eq!(spec(config.clone()).windows, [Some(4096), Some(4096)]);
        config["sliding_window"] = Value::Null;
        assert_eq!(spec(config.clone()).windows, [None, None]);
        config.as_object_mut().unwrap().remove("num_key_value_heads");
        let error = super::mistral::Mistral.spec(&Config::new(config)).unwrap_err().to_string();
        assert!(error.contains("`num_key_value_heads` is missing"), "{error}");
    }
}
