"""Writes fixtures/parity/generation.json: what Transformers' logits processors make of given logits, in the order in which
`generate` runs them, and mean-pooled embeddings of the parity models."""

import json
import pathlib

import torch
import transformers
from transformers import AutoModel, GenerationConfig, LogitsProcessorList
from transformers.generation import logits_process as lp

FIXTURES = pathlib.Path(__file__).resolve().parent.parent / "fixtures" / "parity"
CASES = [
    dict(),
    dict(temperature=0.7),
    dict(top_k=5),
    dict(top_p=0.8),
    dict(min_p=0.1),
    dict(repetition_penalty=1.3),
    dict(temperature=1.4, top_k=9, top_p=0.7, min_p=0.05, repetition_penalty=1.2),
    dict(temperature=0.5, top_k=3, top_p=0.99),
    dict(temperature=2.0, top_p=0.3, min_p=0.5, repetition_penalty=0.8),
]


def processors(model, case):
    config = GenerationConfig(do_sample=True, **{"top_k": 0, **case})
    return model._get_logits_processor(
        generation_config=config, input_ids_seq_length=4, encoder_input_ids=None, prefix_allowed_tokens_fn=None,
        logits_processor=LogitsProcessorList(), device="cpu", model_kwargs={},
    )


def main():
    torch.manual_seed(5)
    logits = (torch.randn(1, 24) * 2).to(torch.float32)
    seen = torch.tensor([[3, 7, 3, 20]])
    model = transformers.AutoModelForCausalLM.from_pretrained(FIXTURES / "llama")
    cases = []
    for case in CASES:
        out = processors(model, case)(seen, logits.clone())[0]
        cases.append({"settings": case, "logits": [None if torch.isinf(x) else float(x) for x in out]})
    embeddings = {}
    for family in ["llama", "gpt_neo", "bloom"]:
        base = AutoModel.from_pretrained(FIXTURES / family, dtype=torch.float32, attn_implementation="eager").eval()
        rows = json.loads((FIXTURES / family / "batch.json").read_text())["input_ids"]
        with torch.no_grad():
            means = [base(torch.tensor([r])).last_hidden_state[0].mean(0).tolist() for r in rows]
        embeddings[family] = means
    out = {"transformers": transformers.__version__, "seen": seen[0].tolist(), "logits": logits[0].tolist(),
           "cases": cases, "embeddings": embeddings}
    (FIXTURES / "generation.json").write_text(json.dumps(out, indent=1) + "\n")


main()
