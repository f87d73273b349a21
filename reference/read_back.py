"""Proves from the other side that a folder written by Wardsmith loads: Transformers, PEFT and AutoTokenizer read it.

    python read_back.py MODEL_DIR [ADAPTER_DIR] [--ids 5,6,7] [--text "..."] [--new-tokens N] [--save logits.safetensors]

A missing, unexpected or misshapen tensor is an error here, where Transformers and PEFT would only warn. Prints the
logits' shape, sum, norm, first values and best ids; a classifier's by name. README.md shows a comparison.
"""

import argparse
import json
import warnings
from pathlib import Path

import torch
from peft import PeftModel
from peft.utils import get_peft_model_state_dict
from safetensors import safe_open
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer
from transformers.utils import logging


def is_classifier(folder):
    names = json.loads((folder / "config.json").read_text(encoding="utf8")).get("architectures") or []
    if not names:
        raise SystemExit(f"{folder / 'config.json'} names no `architectures`")
    return names[0].endswith("ForSequenceClassification")


def load_model(folder):
    """In f32, whatever the stored type; every tensor of the folder used, every tensor of the model given."""
    auto_class = AutoModelForSequenceClassification if is_classifier(folder) else AutoModelForCausalLM
    model, info = auto_class.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager",
                                             use_safetensors=True, local_files_only=True, output_loading_info=True)
    problems = {kind: sorted(map(str, found)) for kind, found in info.items() if found}
    if problems:
        raise SystemExit(f"{folder} does not fit {type(model).__name__}: {json.dumps(problems, indent=2)}")
    return model.eval()


def load_adapter(model, folder):
    model = PeftModel.from_pretrained(model, folder, local_files_only=True).eval()
    with safe_open(folder / "adapter_model.safetensors", "pt") as stored:
        given = {name: stored.get_tensor(name).float() for name in stored.keys()}
    used = get_peft_model_state_dict(model)
    if given.keys() != used.keys():
        raise SystemExit(f"{folder}: adapter tensors not shared by both sides: {sorted(given.keys() ^ used.keys())}")
    changed = [name for name in given if not torch.equal(given[name], used[name].float())]
    if changed:
        raise SystemExit(f"{folder}: adapter tensors that did not arrive: {changed}")
    return model


def load_tokenizer(folder):
    if not (folder / "tokenizer.json").exists():
        print("tokenizer: none in the folder")
        return None
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    print(f"tokenizer: {type(tokenizer).__name__}, {len(tokenizer)} ids, bos {tokenizer.bos_token!r}, "
          f"eos {tokenizer.eos_token!r}, pad {tokenizer.pad_token!r}, chat template {'yes' if tokenizer.chat_template else 'no'}")
    return tokenizer


def show_tokenizer(tokenizer, text):
    ids = tokenizer(text, add_special_tokens=False).input_ids
    back = tokenizer.decode(ids, clean_up_tokenization_spaces=False)
    print(f"text ids: {ids}\nround trip: {'exact' if back == text else repr(back)}")
    if tokenizer.chat_template:
        prompt = tokenizer.apply_chat_template([{"role": "user", "content": text}], add_generation_prompt=True, tokenize=False)
        print(f"chat prompt: {prompt!r}")
    return tokenizer(text).input_ids  # with whatever the folder's tokenizer puts in front, such as <s>


def show_logits(logits, names):
    """Sum and norm tell two dumps apart at a glance; for a real comparison save them."""
    print(f"logits: shape {tuple(logits.shape)}, sum {logits.double().sum():.6f}, norm {logits.double().norm():.6f}")
    last = logits[-1] if logits.ndim == 2 else logits
    print("last, first 8:", [round(value, 6) for value in last[:8].tolist()])
    best = last.topk(min(3, len(last)))
    print("last, best 3:", [(names.get(i, i), round(value, 6)) for value, i in zip(best.values.tolist(), best.indices.tolist())])


def show_continuation(model, tokenizer, ids, count):
    out = model.generate(input_ids=torch.tensor([ids]), attention_mask=torch.ones(1, len(ids), dtype=torch.long),
                         do_sample=False, max_new_tokens=count, pad_token_id=0)[0, len(ids):].tolist()
    print(f"greedy: {out}" + (f" {tokenizer.decode(out)!r}" if tokenizer else ""))


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("adapter", type=Path, nargs="?")
    parser.add_argument("--ids", help="comma-separated; those of the text by default, else 3,4,5,6,7")
    parser.add_argument("--text", default="A use-after-free in the parser: <b>naïve</b> input → code execution.")
    parser.add_argument("--new-tokens", type=int, default=0)
    parser.add_argument("--save", type=Path, help="writes `logits.0` and `ids`")
    return parser.parse_args()


@torch.no_grad()
def main():
    args = arguments()
    logging.disable_progress_bar()
    warnings.filterwarnings("ignore", category=FutureWarning)  # PEFT calls names that Transformers renamed
    torch.set_num_threads(1)
    model = load_model(args.model)
    tokenizer = load_tokenizer(args.model)
    ids = (show_tokenizer(tokenizer, args.text) if tokenizer else None) or [3, 4, 5, 6, 7]
    ids = [int(part) for part in args.ids.split(",")] if args.ids else ids
    if args.adapter:
        model = load_adapter(model, args.adapter)
    print(f"model: {type(model).__name__}, {sum(p.numel() for p in model.parameters())} parameters, all tensors matched")
    logits = model(input_ids=torch.tensor([ids])).logits[0]
    show_logits(logits, model.config.id2label if is_classifier(args.model) else {})
    if args.new_tokens and not is_classifier(args.model):
        show_continuation(model, tokenizer, ids, args.new_tokens)
    if args.save:
        save_file({"logits.0": logits.contiguous(), "ids": torch.tensor(ids)}, args.save)


if __name__ == "__main__":
    main()
