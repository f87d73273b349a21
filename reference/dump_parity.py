"""Writes the parity fixtures: what Transformers and PEFT compute for a tiny random model of every family.

    python dump_parity.py [--out ../fixtures/parity] [FAMILY ...]

The engine's tests load each folder and must reproduce logits, loss, every gradient and ten AdamW steps.
README.md describes the files. All numbers are f32 on one CPU thread; the same versions on the same kind of
processor write the same bytes.
"""

import argparse
import json
import platform
import shutil
import warnings
import zlib
from pathlib import Path

import numpy as np
import peft
import torch
import torch.nn.functional as F
import transformers
from peft.utils import get_peft_model_state_dict
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification
from transformers import (BloomConfig, Gemma2Config, Gemma3TextConfig, GPT2Config, GPTNeoConfig, GPTNeoXConfig, LlamaConfig,
                          MistralConfig, Olmo2Config, Phi3Config, Qwen2Config, Qwen3Config, SmolLM3Config)

SEED = 0  # with it no continuation hangs on a near tie or repeats one id
MATRIX_STD, VECTOR_STD = 0.26, 0.1  # wide enough that attention is far from uniform and no gradient is trivially small
ADAMW = dict(lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01, foreach=False)
ADAMW_STEPS, PROMPT_LEN, NEW_TOKENS = 10, 5, 12
VOCAB, HIDDEN, FFN, HEADS, LAYERS, MAX_POSITIONS = 96, 32, 48, 4, 2, 64
SPECIAL = dict(bos_token_id=1, eos_token_id=2)  # never drawn for a batch, nor is id 0, the classifier's padding
ROW_LENS, UNSUPERVISED = (11, 7, 4), ({0, 1, 2, 3, 4, 8}, {0, 1, 2}, {0, 1})  # row 0 has a second, inner gap
CLASSES = ["CWE-22", "CWE-79", "CWE-89", "CWE-416", "CWE-787"]
CLASS_OF_ROW = [3, 1, 4]


def llama_config(**changes):
    return LlamaConfig(vocab_size=VOCAB, hidden_size=HIDDEN, intermediate_size=FFN, num_hidden_layers=LAYERS,
                       num_attention_heads=HEADS, num_key_value_heads=2, max_position_embeddings=MAX_POSITIONS,
                       tie_word_embeddings=False, attention_dropout=0.0, **SPECIAL, **changes)


def gpt_neo_config():
    return GPTNeoConfig(vocab_size=VOCAB, hidden_size=HIDDEN, intermediate_size=FFN, num_layers=LAYERS, num_heads=HEADS,
                        max_position_embeddings=MAX_POSITIONS, attention_types=[[["global", "local"], 1]], window_size=4,
                        resid_dropout=0.0, embed_dropout=0.0, attention_dropout=0.0, classifier_dropout=0.0, **SPECIAL)


def bloom_config():
    return BloomConfig(vocab_size=VOCAB, hidden_size=HIDDEN, n_layer=LAYERS, n_head=HEADS,
                       hidden_dropout=0.0, attention_dropout=0.0, **SPECIAL)


def gpt2_config():
    return GPT2Config(vocab_size=VOCAB, n_embd=HIDDEN, n_inner=FFN, n_layer=LAYERS, n_head=HEADS, n_positions=MAX_POSITIONS,
                      resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, **SPECIAL)


def gpt_neox_config(**changes):
    return GPTNeoXConfig(vocab_size=VOCAB, hidden_size=HIDDEN, intermediate_size=FFN, num_hidden_layers=LAYERS,
                         num_attention_heads=HEADS, max_position_embeddings=MAX_POSITIONS, classifier_dropout=0.0,
                         rope_parameters=dict(rope_type="default", rope_theta=10000.0, partial_rotary_factor=0.5),
                         **SPECIAL, **changes)


# What the families of Llama's layout share: fewer key/value heads than query heads, a window of 4 where there is one.
GROUPED = dict(vocab_size=VOCAB, hidden_size=HIDDEN, intermediate_size=FFN, num_hidden_layers=LAYERS, num_attention_heads=HEADS,
               num_key_value_heads=2, max_position_embeddings=MAX_POSITIONS, pad_token_id=None, **SPECIAL)
SLIDING = dict(sliding_window=4, use_sliding_window=True)


def mistral_config():
    return MistralConfig(**GROUPED, head_dim=10, sliding_window=4)


def qwen2_config():
    return Qwen2Config(**GROUPED, **SLIDING, max_window_layers=1, tie_word_embeddings=True)


def qwen3_config():
    return Qwen3Config(**GROUPED, **SLIDING, head_dim=12, attention_bias=True,
                       layer_types=["sliding_attention", "full_attention"])


def gemma2_config():
    """Caps that bite: scores and logits reach beyond them."""
    return Gemma2Config(**GROUPED, head_dim=8, query_pre_attn_scalar=12, sliding_window=4, attn_logit_softcapping=1.5,
                        final_logit_softcapping=4.0)


def gemma3_text_config():
    ropes = dict(full_attention=dict(rope_type="linear", rope_theta=1e6, factor=8.0),
                 sliding_attention=dict(rope_type="default", rope_theta=100.0))
    return Gemma3TextConfig(**GROUPED, head_dim=8, query_pre_attn_scalar=12, sliding_window=4, rope_parameters=ropes,
                            layer_types=["sliding_attention", "full_attention"], final_logit_softcapping=4.0)


def phi3_config(**changes):
    rope = dict(rope_type="default", rope_theta=10000.0, partial_rotary_factor=0.5)
    return Phi3Config(**GROUPED, sliding_window=4, **(dict(rope_parameters=rope) | changes))


def olmo2_config():
    return Olmo2Config(**GROUPED)


def smollm3_config():
    """The second layer has no positions, and the window. With the usual base, AdamW on the adapter is unstable: f64 leaves f32."""
    return SmolLM3Config(**GROUPED, **SLIDING, no_rope_layers=[1, 0], mlp_bias=True,
                         rope_parameters=dict(rope_type="default", rope_theta=100.0))


LLAMA_LAYERS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
# Family -> (config, names of all linear layers inside a block, which LoRA is put on).
FAMILIES = {
    "llama": (llama_config, LLAMA_LAYERS),
    "gpt2": (gpt2_config, ["c_attn", "c_proj", "c_fc"]),
    "gpt_neox": (gpt_neox_config, ["query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"]),
    "mistral": (mistral_config, LLAMA_LAYERS),
    "qwen2": (qwen2_config, LLAMA_LAYERS),
    "qwen3": (qwen3_config, LLAMA_LAYERS),
    "gemma2": (gemma2_config, LLAMA_LAYERS),
    "gemma3_text": (gemma3_text_config, LLAMA_LAYERS),
    "phi3": (phi3_config, ["qkv_proj", "o_proj", "gate_up_proj", "down_proj"]),
    "olmo2": (olmo2_config, LLAMA_LAYERS),
    "smollm3": (smollm3_config, LLAMA_LAYERS),
    "gpt_neo": (gpt_neo_config, ["q_proj", "k_proj", "v_proj", "out_proj", "c_fc", "c_proj"]),
    "bloom": (bloom_config, ["query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"]),
}


# Configurations that compute otherwise with the same weights: name -> (family, config).
def llama_with(**rope):
    return lambda: llama_config(rope_parameters=dict(rope_theta=10000.0, **rope))


VARIANTS = {
    "rope_linear": ("llama", llama_with(rope_type="linear", factor=3.0)),
    "rope_dynamic": ("llama", llama_with(rope_type="dynamic", factor=3.0)),
    "rope_llama3": ("llama", llama_with(rope_type="llama3", factor=8.0, low_freq_factor=0.4, high_freq_factor=4.0,
                                        original_max_position_embeddings=32)),
    "rope_yarn": ("llama", llama_with(rope_type="yarn", factor=4.0, original_max_position_embeddings=16, beta_slow=0.05)),
    "rope_long": ("phi3", lambda: phi3_config(
        original_max_position_embeddings=16,
        rope_parameters=dict(rope_type="longrope", rope_theta=10000.0, partial_rotary_factor=0.5,
                             short_factor=[1.25, 2.5], long_factor=[3.0, 9.0]))),
    "gpt_neox_sequential": ("gpt_neox", lambda: gpt_neox_config(use_parallel_residual=False)),
}


def fill(named_parameters, norm_centre=1.0):
    """Draws every parameter anew: noise around 1 for norm weights (0 where they are distances from 1), around 0 for all else.

    The draw depends on the parameter's name and shape alone, so a classifier or an adapter stands on the
    same base weights, and numpy's generator keeps it independent of torch's vectorised ones.
    """
    for name, parameter in named_parameters:
        rng = np.random.default_rng([SEED, zlib.crc32(name.encode())])
        is_norm_weight = parameter.ndim == 1 and name.endswith("weight")
        std = MATRIX_STD if parameter.ndim == 2 else VECTOR_STD
        noise = rng.standard_normal(tuple(parameter.shape)) * std + norm_centre * is_norm_weight
        parameter.data.copy_(torch.from_numpy(noise.astype(np.float32)))


def build(auto_class, config):
    model = auto_class.from_config(config, attn_implementation="eager", dtype=torch.float32).eval()
    fill(model.named_parameters(), 0.0 if config.model_type.startswith("gemma") else 1.0)
    return model


def draw_rows():
    """Three rows of different lengths, and labels in Transformers' meaning (labels[i] is predicted from i - 1)."""
    rng = np.random.default_rng(SEED)
    rows = [rng.integers(3, VOCAB, size=n).tolist() for n in ROW_LENS]
    labels = [[-100 if i in gaps else t for i, t in enumerate(row)] for row, gaps in zip(rows, UNSUPERVISED)]
    return rows, labels


def logits_of(model, rows):
    """Each row run alone: no padding, no attention mask. A list of (len, vocab), or of (classes,)."""
    return [model(input_ids=torch.tensor([row]), use_cache=False).logits[0] for row in rows]


def language_loss(logits, labels):
    """One mean over all supervised tokens of all rows, in nats."""
    predicted = torch.cat([row[:-1] for row in logits])
    return F.cross_entropy(predicted, torch.cat([torch.tensor(row[1:]) for row in labels]), ignore_index=-100)


def class_loss(logits, labels):
    return F.cross_entropy(torch.stack(logits), torch.tensor(labels))


def gradients(model, loss):
    """Parameter name in files -> gradient, for every trainable parameter; a missing or all-zero one is an error."""
    model.zero_grad()
    loss.backward()
    in_files = lambda name: "embed_out.weight" if model.config.model_type == "gpt_neox" and name == "lm_head.weight" else name
    grads = {in_files(name): p.grad.clone() for name, p in model.named_parameters() if p.requires_grad}
    dead = [name for name, grad in grads.items() if not grad.abs().max() > 1e-6]
    assert not dead, f"gradients that prove nothing: {dead}"
    return grads


def adamw_losses(model, loss_of):
    """The loss before each of the updates, on the same batch. Changes the model: call it last."""
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], **ADAMW)
    losses = []
    for _ in range(ADAMW_STEPS):
        loss = loss_of(model)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return losses


@torch.no_grad()
def greedy(model, prompt):
    """New ids, end-of-sequence ignored, and the smallest lead of a winner; must agree with `generate` and its cache."""
    ids, margins = list(prompt), []
    for _ in range(NEW_TOKENS):
        best = logits_of(model, [ids])[0][-1].topk(2)
        ids.append(best.indices[0].item())
        margins.append((best.values[0] - best.values[1]).item())
    model.generation_config.eos_token_id = None
    cached = model.generate(torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
                            do_sample=False, max_new_tokens=NEW_TOKENS, pad_token_id=0)
    assert cached[0].tolist() == ids, "generate with its cache disagrees with plain forward passes"
    assert min(margins) > 1e-3, f"a near tie decides the continuation: {min(margins)}"
    return ids[len(prompt):], min(margins)


def write_json(path, value):
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf8")


def write_expected(folder, logits, grads, facts):
    tensors = {f"logits.{i}": row.detach().contiguous() for i, row in enumerate(logits)}
    tensors |= {f"grad.{name}": grad.contiguous() for name, grad in grads.items()}
    save_file(tensors, folder / "expected.safetensors")
    versions = dict(python=platform.python_version(), torch=torch.__version__.split("+")[0],
                    transformers=transformers.__version__, peft=peft.__version__)
    write_json(folder / "expected.json", facts | {"versions": versions})


def save_model(model, folder, **options):
    """`save_pretrained`, less the generation defaults, which no test reads."""
    model.save_pretrained(folder, **options)
    (folder / "generation_config.json").unlink(missing_ok=True)


def dump_language_model(family, folder):
    rows, labels = draw_rows()
    model = build(AutoModelForCausalLM, FAMILIES[family][0]())
    save_model(model, folder)
    write_json(folder / "batch.json", {"input_ids": rows, "labels": labels})
    continuation, margin = greedy(model, rows[0][:PROMPT_LEN])
    logits = logits_of(model, rows)
    loss = language_loss(logits, labels)
    check_against_own_loss(model, rows, labels, loss)
    grads = gradients(model, loss)
    losses = adamw_losses(model, lambda m: language_loss(logits_of(m, rows), labels))
    write_expected(folder, logits, grads, {
        "loss": loss.item(), "supervised_tokens": sum(t != -100 for row in labels for t in row), "adamw_losses": losses,
        "greedy": {"prompt": rows[0][:PROMPT_LEN], "continuation": continuation, "smallest_margin": margin}})


@torch.no_grad()
def check_against_own_loss(model, rows, labels, loss):
    """The model's own `loss`, row by row, weighted by supervised tokens, is the loss written here."""
    total = count = 0
    for row, row_labels in zip(rows, labels):
        n = sum(t != -100 for t in row_labels[1:])
        total += n * model(input_ids=torch.tensor([row]), labels=torch.tensor([row_labels])).loss.item()
        count += n
    assert abs(total / count - loss.item()) < 1e-5, (total / count, loss.item())


def dump_classifier(family, folder):
    rows, _ = draw_rows()
    config = FAMILIES[family][0]()
    config.pad_token_id, config.problem_type = 0, "single_label_classification"
    config.id2label, config.label2id = dict(enumerate(CLASSES)), {name: i for i, name in enumerate(CLASSES)}
    model = build(AutoModelForSequenceClassification, config)
    save_model(model, folder)
    write_json(folder / "batch.json", {"input_ids": rows, "labels": CLASS_OF_ROW})
    logits = logits_of(model, rows)
    loss = class_loss(logits, CLASS_OF_ROW)
    grads = gradients(model, loss)
    losses = adamw_losses(model, lambda m: class_loss(logits_of(m, rows), CLASS_OF_ROW))
    write_expected(folder, logits, grads, {"loss": loss.item(), "adamw_losses": losses})


def build_adapter(family):
    base = build(AutoModelForCausalLM, FAMILIES[family][0]())
    lora = peft.LoraConfig(r=4, lora_alpha=8, lora_dropout=0.0, target_modules=FAMILIES[family][1], task_type="CAUSAL_LM",
                           fan_in_fan_out=family == "gpt2")
    model = peft.get_peft_model(base, lora).eval()
    fill((name, p) for name, p in model.named_parameters() if p.requires_grad)
    return model


def save_adapter(model, folder):
    """As PEFT saves it, but sets of modules sorted (their order changes from run to run), without the card."""
    model.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    config = json.loads((folder / "adapter_config.json").read_text(encoding="utf8"))
    for key in ("target_modules", "exclude_modules"):
        config[key] = sorted(config[key]) if isinstance(config[key], list) else config[key]
    write_json(folder / "adapter_config.json", config)


def dump_lora(family, folder):
    """On the base model one folder up, with its batch; only the adapter is trained."""
    rows, labels = draw_rows()
    model = build_adapter(family)
    save_adapter(model, folder)
    logits = logits_of(model, rows)
    loss = language_loss(logits, labels)
    grads = {name.replace(".default", ""): grad for name, grad in gradients(model, loss).items()}
    assert grads.keys() == get_peft_model_state_dict(model).keys(), "a gradient for every saved tensor, and no other"
    losses = adamw_losses(model, lambda m: language_loss(logits_of(m, rows), labels))
    write_expected(folder, logits[:1], grads, {"loss": loss.item(), "adamw_losses": losses})


def dump_sharded(folder):
    """The llama model in several files with an index."""
    save_model(build(AutoModelForCausalLM, llama_config()), folder, max_shard_size="48KB")
    assert len(list(folder.glob("model-*.safetensors"))) >= 2


def dump_bf16(folder):
    """The llama weights rounded to bf16; the logits are those of the rounded weights, computed in f32."""
    model = build(AutoModelForCausalLM, llama_config()).to(torch.bfloat16)
    save_model(model, folder)
    with torch.no_grad():
        write_expected(folder, logits_of(model.float(), draw_rows()[0]), {}, {})


def dump_variant(name, folder):
    """`config.json` alone, for the weights of its family; of the gradients only the first layer's queries'."""
    family, config = VARIANTS[name]
    rows, labels = draw_rows()
    model = build(AutoModelForCausalLM, config())
    model.config.architectures = [type(model).__name__]
    model.config.to_json_file(folder / "config.json")
    plain = logits_of(build(AutoModelForCausalLM, FAMILIES[family][0]()), rows)
    logits = logits_of(model, rows)
    assert (logits[0] - plain[0]).abs().max() > 1e-2 or name == "rope_dynamic", "a variant that changes nothing"
    loss = language_loss(logits, labels)
    grads = {key: grad for key, grad in gradients(model, loss).items() if ".0." in key and "q" in key.split(".")[-2]}
    assert len([key for key in grads if key.endswith("weight")]) == 1, grads.keys()
    write_expected(folder, logits[:1], grads, {"family": family, "loss": loss.item()})


def dump_family(family, out):
    dump_language_model(family, out / family)
    dump_classifier(family, out / family / "classifier")
    dump_lora(family, out / family / "lora")


def dumps():
    """Folder name -> what writes it."""
    families = {name: lambda out, name=name: dump_family(name, out) for name in FAMILIES}
    families |= {f"variants/{name}": lambda out, name=name: dump_variant(name, out / "variants" / name) for name in VARIANTS}
    return families | {"sharded": lambda out: dump_sharded(out / "sharded"),
                       "llama_bf16": lambda out: dump_bf16(out / "llama_bf16")}


def quiet():
    transformers.logging.disable_progress_bar()
    warnings.filterwarnings("ignore", category=FutureWarning)  # PEFT calls names that Transformers renamed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent.parent / "fixtures" / "parity")
    parser.add_argument("folder", nargs="*", help=f"any of {', '.join(dumps())}; all by default")
    args = parser.parse_args()
    quiet()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    for name in args.folder or dumps():
        shutil.rmtree(args.out / name, ignore_errors=True)
        (args.out / name).mkdir(parents=True)
        dumps()[name](args.out)
        print(f"wrote {args.out / name}")


if __name__ == "__main__":
    main()
