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
from transformers import BloomConfig, GPTNeoConfig, LlamaConfig
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

SEED = 0  # with it no continuation hangs on a near tie or repeats one id
MATRIX_STD, VECTOR_STD = 0.26, 0.1  # wide enough that attention is far from uniform and no gradient is trivially small
ADAMW = dict(lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01, foreach=False)
ADAMW_STEPS, PROMPT_LEN, NEW_TOKENS = 10, 5, 12
VOCAB, HIDDEN, FFN, HEADS, LAYERS, MAX_POSITIONS = 96, 32, 48, 4, 2, 64
SPECIAL = dict(bos_token_id=1, eos_token_id=2)  # never drawn for a batch, nor is id 0, the classifier's padding
ROW_LENS, UNSUPERVISED = (11, 7, 4), ({0, 1, 2, 3, 4, 8}, {0, 1, 2}, {0, 1})  # row 0 has a second, inner gap
CLASSES = ["CWE-22", "CWE-79", "CWE-89", "CWE-416", "CWE-787"]
CLASS_OF_ROW = [3, 1, 4]


def llama_config():
    return LlamaConfig(vocab_size=VOCAB, hidden_size=HIDDEN, intermediate_size=FFN, num_hidden_layers=LAYERS,
                       num_attention_heads=HEADS, num_key_value_heads=2, max_position_embeddings=MAX_POSITIONS,
                       tie_word_embeddings=False, attention_dropout=0.0, **SPECIAL)


def gpt_neo_config():
    return GPTNeoConfig(vocab_size=VOCAB, hidden_size=HIDDEN, intermediate_size=FFN, num_layers=LAYERS, num_heads=HEADS,
                        max_position_embeddings=MAX_POSITIONS, attention_types=[[["global", "local"], 1]], window_size=4,
                        resid_dropout=0.0, embed_dropout=0.0, attention_dropout=0.0, classifier_dropout=0.0, **SPECIAL)


def bloom_config():
    return BloomConfig(vocab_size=VOCAB, hidden_size=HIDDEN, n_layer=LAYERS, n_head=HEADS,
                       hidden_dropout=0.0, attention_dropout=0.0, **SPECIAL)


# Family -> (config, names of all linear layers inside a block, which LoRA is put on).
FAMILIES = {
    "llama": (llama_config, ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]),
    "gpt_neo": (gpt_neo_config, ["q_proj", "k_proj", "v_proj", "out_proj", "c_fc", "c_proj"]),
    "bloom": (bloom_config, ["query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"]),
}


def fill(named_parameters):
    """Draws every parameter anew: noise around 1 for norm weights, around 0 for all else.

    The draw depends on the parameter's name and shape alone, so a classifier or an adapter stands on the
    same base weights, and numpy's generator keeps it independent of torch's vectorised ones.
    """
    for name, parameter in named_parameters:
        rng = np.random.default_rng([SEED, zlib.crc32(name.encode())])
        is_norm_weight = parameter.ndim == 1 and name.endswith("weight")
        std = MATRIX_STD if parameter.ndim == 2 else VECTOR_STD
        noise = rng.standard_normal(tuple(parameter.shape)) * std + float(is_norm_weight)
        parameter.data.copy_(torch.from_numpy(noise.astype(np.float32)))


def build(auto_class, config):
    model = auto_class.from_config(config, attn_implementation="eager", dtype=torch.float32).eval()
    fill(model.named_parameters())
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
    """Parameter name -> gradient, for every trainable parameter; a missing or all-zero one is an error."""
    model.zero_grad()
    loss.backward()
    grads = {name: p.grad.clone() for name, p in model.named_parameters() if p.requires_grad}
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
    lora = peft.LoraConfig(r=4, lora_alpha=8, lora_dropout=0.0, target_modules=FAMILIES[family][1], task_type="CAUSAL_LM")
    model = peft.get_peft_model(base, lora).eval()
    fill((name, p) for name, p in model.named_parameters() if p.requires_grad)
    return model


def save_adapter(model, folder):
    """As PEFT saves it, but the set of target modules sorted (its order changes from run to run), without the card."""
    model.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    config = json.loads((folder / "adapter_config.json").read_text(encoding="utf8"))
    config["target_modules"].sort()
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


def dump_family(family, out):
    dump_language_model(family, out / family)
    dump_classifier(family, out / family / "classifier")
    dump_lora(family, out / family / "lora")


def dumps():
    """Folder name -> what writes it."""
    families = {name: lambda out, name=name: dump_family(name, out) for name in FAMILIES}
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
