"""Loads a GGUF file with llama.cpp and compares it with Transformers on the folder that it was made from:
`gguf_check.py MODEL_DIR FILE [--new-tokens 60] [--text "…"]`. Needs `pip install llama-cpp-python` beside requirements.txt."""

import argparse
import json

import numpy as np

parser = argparse.ArgumentParser()
parser.add_argument("model")
parser.add_argument("file")
parser.add_argument("--new-tokens", type=int, default=60)
parser.add_argument("--text", default="Once upon a time, there was a cat")
parser.add_argument("--hf", help="logits and ids that a run with --dump wrote")
parser.add_argument("--dump", help="write Transformers' side there and stop")
args = parser.parse_args()


def transformers_side():
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(args.model)
    model = AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32).eval()
    ids = tokenizer(args.text)["input_ids"]
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0]
        out = model.generate(torch.tensor([ids]), max_new_tokens=args.new_tokens, do_sample=False)[0].tolist()
    return {"ids": ids, "logits": logits.tolist(), "out": out, "text": tokenizer.decode(out[len(ids):])}


def llama_side(hf):
    from llama_cpp import Llama

    llm = Llama(args.file, n_ctx=512, n_threads=2, logits_all=True, verbose=False)
    ids = llm.tokenize(args.text.encode(), add_bos=True, special=False)
    print("tokens agree:", ids == hf["ids"], "" if ids == hf["ids"] else (ids, hf["ids"]))
    ids = hf["ids"]
    llm.eval(ids)
    ours, theirs = np.array(llm.scores[: len(ids)]), np.array(hf["logits"])
    off = np.linalg.norm(ours - theirs) / np.linalg.norm(theirs)
    print(f"logits: largest difference {np.abs(ours - theirs).max():.2e}, relative {off:.2e}, "
          f"same likeliest token at {np.mean(ours.argmax(1) == theirs.argmax(1)):.1%} of positions")
    out = list(ids)
    for _ in range(args.new_tokens):
        token = int(np.argmax(llm.scores[llm.n_tokens - 1]))
        out.append(token)
        llm.eval([token])
    same = next((i for i, (a, b) in enumerate(zip(out[len(ids):], hf["out"][len(ids):])) if a != b), None)
    print("greedy text agrees:", same is None, "" if same is None else f"up to token {same}")
    print(repr(llm.detokenize(out[len(ids):]).decode(errors="replace")[:160]))


if args.dump:
    json.dump(transformers_side(), open(args.dump, "w"))
else:
    llama_side(json.load(open(args.hf)) if args.hf else transformers_side())
