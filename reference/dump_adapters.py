"""Writes fixtures/parity/adapters: what PEFT computes with rank-stabilised LoRA, with DoRA, and with both.

    python dump_adapters.py [--out ../fixtures/parity/adapters] [FOLDER ...]

Each folder NAME_VARIANT is an adapter for the model in ../NAME and its batch, as `lora/` there is one of plain LoRA. The
layers are chosen in every way that PEFT knows: names, endings, a pattern, all linear layers less some.
"""

import argparse
import shutil
from pathlib import Path

import peft
import torch
from peft.utils import get_peft_model_state_dict
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, Trainer

from dump_parity import (CLASS_OF_ROW, CLASSES, FAMILIES, adamw_losses, build, class_loss, draw_rows, fill, gradients,
                         language_loss, logits_of, quiet, save_adapter, write_expected, write_json)

RANK, ALPHA = 4, 6  # so that alpha / r, alpha / sqrt(r) and 1 differ
VARIANTS = {
    "rslora": dict(use_rslora=True),
    "dora": dict(use_dora=True),
    "dora_rslora": dict(use_rslora=True, use_dora=True),
}
# Family -> which layers each variant sits on.
CHOICES = {
    "llama": {
        "rslora": dict(target_modules="all-linear", exclude_modules=["down_proj", "model.layers.1.self_attn.k_proj"]),
        "dora": dict(target_modules=r".*\.(q_proj|v_proj|o_proj|down_proj)"),
        "dora_rslora": dict(target_modules="all-linear"),
    },
    "gpt2": {
        "rslora": dict(target_modules=["c_attn", "mlp.c_proj"]),
        "dora": dict(target_modules="all-linear"),
        "dora_rslora": dict(target_modules=["c_attn", "transformer.h.1.mlp.c_fc"]),
    },
    "bloom": {
        "rslora": dict(target_modules=["query_key_value", "dense"]),
        "dora": dict(target_modules=["query_key_value", "dense_4h_to_h"]),
        "dora_rslora": dict(target_modules=r".*\.h\.0\..*", exclude_modules=r".*(norm|dropout|gelu.*|attention|mlp)"),
    },
}
# A classifier's head is trained and saved beside the adapter.
CLASSIFIERS = {"qwen3_classifier_dora": ("qwen3", dict(target_modules=["q_proj", "down_proj"], use_dora=True))}


def adapted(base, family, options, task):
    config = peft.LoraConfig(r=RANK, lora_alpha=ALPHA, lora_dropout=0.0, task_type=task, fan_in_fan_out=family == "gpt2", **options)
    model = peft.get_peft_model(base, config).eval()
    fill((name, p) for name, p in model.named_parameters() if p.requires_grad)
    return model


def in_files(name):
    """PEFT's files leave out the adapter's name, the wrapper of saved modules, and the end of a magnitude's name."""
    name = name.replace(".modules_to_save.default", "").replace(".default", "")
    return name.removesuffix(".weight") if name.endswith("lora_magnitude_vector.weight") else name


def dump(model, rows, loss_of, folder):
    save_adapter(model, folder)
    logits = logits_of(model, rows)
    loss = loss_of(logits)
    grads = {in_files(name): grad for name, grad in gradients(model, loss).items()}
    assert grads.keys() == get_peft_model_state_dict(model).keys(), "a gradient for every saved tensor, and no other"
    losses = adamw_losses(model, lambda m: loss_of(logits_of(m, rows)))
    write_expected(folder, logits[:1], grads, {"loss": loss.item(), "adamw_losses": losses})


def dump_language_model(family, variant, folder):
    rows, labels = draw_rows()
    base = build(AutoModelForCausalLM, FAMILIES[family][0]())
    model = adapted(base, family, VARIANTS[variant] | CHOICES[family][variant], "CAUSAL_LM")
    dump(model, rows, lambda logits: language_loss(logits, labels), folder)


def dump_classifier(name, folder):
    family, options = CLASSIFIERS[name]
    rows, _ = draw_rows()
    config = FAMILIES[family][0]()
    config.pad_token_id, config.problem_type = 0, "single_label_classification"
    config.id2label, config.label2id = dict(enumerate(CLASSES)), {name: i for i, name in enumerate(CLASSES)}
    model = adapted(build(AutoModelForSequenceClassification, config), family, options, "SEQ_CLS")
    dump(model, rows, lambda logits: class_loss(logits, CLASS_OF_ROW), folder)


def dump_decay(path):
    """Names in files of what Transformers' Trainer lets decay, of every family, and of what a DoRA trains."""
    names = lambda model: Trainer.get_decay_parameter_names(None, model)
    head = lambda name, family: "embed_out.weight" if family == "gpt_neox" and name == "lm_head.weight" else name
    lists = {}
    for family, (config, _) in FAMILIES.items():
        model = build(AutoModelForCausalLM, config())
        own = {name for name, _ in model.named_parameters()}
        lists[family] = sorted(head(name, family) for name in names(model) if name in own)
    base = build(AutoModelForCausalLM, FAMILIES["llama"][0]())
    model = adapted(base, "llama", dict(target_modules="all-linear", use_dora=True), "CAUSAL_LM")
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    lists["llama with DoRA"] = sorted(in_files(name).removeprefix("base_model.model.") for name in names(model) if name in trained)
    write_json(path, lists)


def dumps():
    """Folder name -> what writes it."""
    of = {f"{family}_{variant}": lambda out, f=family, v=variant: dump_language_model(f, v, out)
          for family, variants in CHOICES.items() for variant in variants}
    return of | {name: lambda out, name=name: dump_classifier(name, out) for name in CLASSIFIERS}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent.parent / "fixtures" / "parity" / "adapters")
    parser.add_argument("folder", nargs="*", help=f"any of {', '.join(dumps())}; all by default")
    args = parser.parse_args()
    quiet()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    dump_decay(args.out.parent / "decay.json")
    for name in args.folder or dumps():
        folder = args.out / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        dumps()[name](folder)
        print(f"wrote {folder}")


if __name__ == "__main__":
    main()
