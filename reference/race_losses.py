"""The losses of PEFT's first steps on examples, from weights that `wardsmith bench` can start from too.

    python race_losses.py EXAMPLES.jsonl TOKENIZER_DIR OUT [STEPS]
    wardsmith bench --examples EXAMPLES.jsonl --tokenizer TOKENIZER_DIR --model OUT/model --adapter OUT/adapter --steps STEPS

Writes a random Llama of 135 million weights and a fresh adapter of rank 16, then trains it as the bench does: eight examples a
step, loss on the completion, AdamW at 1e-4. Both print a loss a step; they should agree to about five digits.
"""

import json
import sys
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

EXAMPLES_PER_STEP = 8
TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def model(vocab, out):
    config = LlamaConfig(hidden_size=576, num_hidden_layers=30, num_attention_heads=9, num_key_value_heads=3,
                         intermediate_size=1536, vocab_size=vocab, tie_word_embeddings=True, max_position_embeddings=2048)
    base = LlamaForCausalLM(config)
    base.save_pretrained(out / "model")
    adapted = get_peft_model(base, LoraConfig(r=16, lora_alpha=32, target_modules=TARGETS, task_type="CAUSAL_LM"))
    adapted.save_pretrained(out / "adapter")
    return adapted.train()


def batch(tokenizer, rows):
    pairs = [(tokenizer(r["prompt"]).input_ids, tokenizer(r["completion"], add_special_tokens=False).input_ids) for r in rows]
    width = max(len(p) + len(c) for p, c in pairs)
    pad = [width - len(p) - len(c) for p, c in pairs]
    return dict(input_ids=torch.tensor([p + c + [0] * n for (p, c), n in zip(pairs, pad)]),
                attention_mask=torch.tensor([[1] * (width - n) + [0] * n for n in pad]),
                labels=torch.tensor([[-100] * len(p) + c + [-100] * n for (p, c), n in zip(pairs, pad)]))


def main(path, tokenizer_dir, out, steps=10):
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_dir)
    net = model(len(tokenizer), Path(out))
    optimizer = torch.optim.AdamW([p for p in net.parameters() if p.requires_grad], lr=1e-4)
    rows = [json.loads(line) for line in open(path, encoding="utf8")]
    for step in range(int(steps)):
        loss = net(**batch(tokenizer, rows[step * EXAMPLES_PER_STEP:(step + 1) * EXAMPLES_PER_STEP])).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        print(f"step {step} loss {loss.item():.6f}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
