"""Holds what `wardsmith export` writes against the programs it is for: Transformers, PEFT and llama.cpp, family by family.

    python exports.py --wardsmith ../target/debug/wardsmith [--keep DIR] [FAMILY ...]

For each family a tiny model with a tokenizer of the family's kind is trained here for a few seconds, gets an adapter from PEFT
and a classifier's head. Then:

  hf          the adapter merged by `export --format hf`, read by AutoModelForCausalLM; logits against PEFT's
  peft        the adapter written anew by `export --format peft`, read by PEFT on the same base
  classifier  `export --format hf` of a classifier, read by AutoModelForSequenceClassification; logits and labels
  gguf        the same model by `export --format gguf` in every encoding, run by llama.cpp: token ids of many texts, logits and
              24 greedy tokens against PEFT's; where texts part, the lead of PEFT's token must be within what rounding moves

Differences are root mean squares over the standard deviation of the logits. Needs llama-cpp-python beside requirements.txt.
A family's line ends in `ok`, or the script in an error.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer, PreTrainedTokenizerFast
from transformers import (BloomConfig, Gemma2Config, Gemma3TextConfig, GPT2Config, GPTNeoConfig, GPTNeoXConfig, LlamaConfig,
                          MistralConfig, Olmo2Config, Phi3Config, Qwen2Config, Qwen3Config, SmolLM3Config)
from transformers.utils import logging

HERE = Path(__file__).parent
ADVISORIES = HERE.parent / "crates/wardsmith/src/demo/advisories.jsonl"
VOCAB, HIDDEN, INNER, HEADS, LAYERS, POSITIONS = 600, 64, 128, 4, 4, 128
BOS, EOS, PAD, UNK = "<s>", "</s>", "<pad>", "<unk>"
NEW_TOKENS = 24
PROMPT = "A buffer overflow in the"
CHAT = "{% for m in messages %}{{ '<s>' + m.role + ': ' + m.content + '\\n' }}{% endfor %}"
LABELS = ["CWE-22", "CWE-79", "CWE-89", "CWE-416", "CWE-787"]
# What a reader may be off by, in units of the logits' spread. llama.cpp takes GELU from a table of halves.
TRANSFORMERS = {"f32": 1e-4, "bf16": 5e-2}
LLAMA = {"f32": 5e-3, "f16": 1e-2, "bf16": 5e-2, "q8_0": 8e-2, "q4_0": 0.6}


# Tokenizers of the kinds that the families have.

LLAMA3_SPLIT = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
                r"|\s+(?!\S)|\s+")
QWEN_SPLIT = LLAMA3_SPLIT.replace(r"\p{N}{1,3}", r"\p{N}")
BLOOM_SPLIT = " ?[^(\\s|[.,!?…。，、।۔،])]+"


def texts():
    return [json.loads(line)["text"] for line in ADVISORIES.read_text(encoding="utf8").splitlines()]


def byte_level(pre=None, normalizer=None, bos=False):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre or pre_tokenizers.ByteLevel(add_prefix_space=False)
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=VOCAB, special_tokens=[UNK, BOS, EOS, PAD],
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    tokenizer.train_from_iterator(texts(), trainer)
    if bos:
        tokenizer.post_processor = processors.TemplateProcessing(single=f"{BOS} $A", special_tokens=[(BOS, 1)])
    return tokenizer


def split(pattern):
    """A split by a pattern, then bytes."""
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"),
                                    pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def digits():
    return pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True),
                                    pre_tokenizers.ByteLevel(add_prefix_space=False)])


def pieces(prefix):
    """As SentencePiece's BPE becomes a tokenizer.json: spaces are ▁, unknown characters bytes, and every way to join two pieces
    into a third is a merge."""
    learned = Tokenizer(models.BPE())
    learned.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    learned.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    learned.train_from_iterator(texts(), trainers.BpeTrainer(vocab_size=VOCAB - 260, show_progress=False))
    found = sorted(learned.get_vocab().items(), key=lambda pair: pair[1])
    tokens = [UNK, BOS, EOS, PAD] + [f"<0x{i:02X}>" for i in range(256)] + [token for token, _ in found]
    vocab = {token: i for i, token in enumerate(tokens)}
    merges = []
    for token in tokens[260:]:
        ways = [(token[:i], token[i:]) for i in range(1, len(token)) if token[:i] in vocab and token[i:] in vocab]
        merges += sorted(ways, key=lambda pair: (vocab[pair[0]], vocab[pair[1]]))
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges, unk_token=UNK, byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = (normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]) if prefix
                            else normalizers.Replace(" ", "▁"))
    strip = [decoders.Strip(" ", 1, 0)] if prefix else []
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()] + strip)
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in (UNK, BOS, EOS, PAD)])
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{BOS} $A", special_tokens=[(BOS, 1)])
    return tokenizer


# Models: as large as the features of a family need.

LLAMA_LIKE = dict(vocab_size=VOCAB, hidden_size=HIDDEN, intermediate_size=INNER, num_hidden_layers=LAYERS,
                  num_attention_heads=HEADS, num_key_value_heads=2, max_position_embeddings=POSITIONS)
SPECIAL = dict(bos_token_id=1, eos_token_id=2, pad_token_id=3)
ALL_LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
NEOX_LINEAR = ["query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"]
SLIDING = ["sliding_attention", "sliding_attention", "full_attention", "sliding_attention"]
LLAMA3_ROPE = dict(rope_type="llama3", rope_theta=10000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                   original_max_position_embeddings=64)


def gemma(config, **more):
    return config(**LLAMA_LIKE, **SPECIAL, head_dim=16, query_pre_attn_scalar=16, sliding_window=16, **more)


FAMILIES = {
    "llama": (lambda: LlamaConfig(**LLAMA_LIKE, **SPECIAL, attention_bias=True, rope_parameters=LLAMA3_ROPE), ALL_LINEAR,
              lambda: byte_level(split(LLAMA3_SPLIT), bos=True)),
    "gpt_neo": (lambda: GPTNeoConfig(vocab_size=VOCAB, hidden_size=HIDDEN, intermediate_size=INNER, num_layers=LAYERS,
                                     num_heads=HEADS, max_position_embeddings=POSITIONS, window_size=16,
                                     attention_types=[[["global", "local"], 2]], **SPECIAL),
                ["q_proj", "k_proj", "v_proj", "out_proj", "c_fc", "c_proj"], byte_level),
    "bloom": (lambda: BloomConfig(vocab_size=VOCAB, hidden_size=HIDDEN, n_layer=LAYERS, n_head=HEADS, seq_length=POSITIONS,
                                  **SPECIAL), NEOX_LINEAR, lambda: byte_level(split(BLOOM_SPLIT))),
    "gpt2": (lambda: GPT2Config(vocab_size=VOCAB, n_embd=HIDDEN, n_inner=INNER, n_layer=LAYERS, n_head=HEADS,
                                n_positions=POSITIONS, **SPECIAL), ["c_attn", "c_proj", "c_fc"], byte_level),
    "gpt_neox": (lambda: GPTNeoXConfig(vocab_size=VOCAB, hidden_size=HIDDEN, intermediate_size=INNER, num_hidden_layers=LAYERS,
                                       num_attention_heads=HEADS, max_position_embeddings=POSITIONS,
                                       rope_parameters=dict(rope_type="default", rope_theta=10000.0, partial_rotary_factor=0.5),
                                       **SPECIAL), NEOX_LINEAR, lambda: byte_level(normalizer=normalizers.NFC())),
    "mistral": (lambda: MistralConfig(**LLAMA_LIKE, **SPECIAL, head_dim=20, sliding_window=None), ALL_LINEAR,
                lambda: pieces(True)),
    "qwen2": (lambda: Qwen2Config(**LLAMA_LIKE, **SPECIAL, tie_word_embeddings=True), ALL_LINEAR,
              lambda: byte_level(split(QWEN_SPLIT), normalizers.NFC())),
    "qwen3": (lambda: Qwen3Config(**LLAMA_LIKE, **SPECIAL, head_dim=24), ALL_LINEAR,
              lambda: byte_level(split(QWEN_SPLIT), normalizers.NFC())),
    "gemma2": (lambda: gemma(Gemma2Config, attn_logit_softcapping=20.0, final_logit_softcapping=15.0), ALL_LINEAR,
               lambda: pieces(False)),
    "gemma3_text": (lambda: gemma(Gemma3TextConfig, layer_types=SLIDING,
                                  rope_parameters=dict(full_attention=dict(rope_type="linear", rope_theta=1e6, factor=8.0),
                                                       sliding_attention=dict(rope_type="default", rope_theta=10000.0))),
                    ALL_LINEAR, lambda: pieces(False)),
    "phi3": (lambda: Phi3Config(**LLAMA_LIKE, **SPECIAL, sliding_window=None,
                                rope_parameters=dict(rope_type="default", rope_theta=10000.0, partial_rotary_factor=0.5)),
             ["qkv_proj", "o_proj", "gate_up_proj", "down_proj"], lambda: pieces(True)),
    "olmo2": (lambda: Olmo2Config(**LLAMA_LIKE, **SPECIAL), ALL_LINEAR, lambda: byte_level(split(LLAMA3_SPLIT))),
    "smollm3": (lambda: SmolLM3Config(**LLAMA_LIKE, **SPECIAL, no_rope_layers=[1, 1, 1, 0]), ALL_LINEAR,
                lambda: byte_level(digits())),
}


def odd_texts():
    """Advisories, and what tokenizers trip over."""
    odd = ["", " ", "  two", "a  b   c", "tab\there", "line\nline\n\nline", "\r\n", "CVE-2024-12345", "0x7fffffff 1234567890",
           "naïve café", "Ünïcödé", "漢字とかな", "Привет, мир", "🙂🔥", "it's we'll I'D", "f(x)[0]->y;", "<s> is text", "a\u00a0b",
           "...!!!???", "CamelCaseWords", "UPPER lower", "1.2.3-rc4+build", "C:\\path\\file", "../../etc/passwd", "%s%n%x", " end "]
    return texts()[:120] + odd


def trained(config, tokenizer):
    """A model that has seen the advisories: its continuations hang on no near tie."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager", dtype=torch.float32)
    ids = torch.tensor([i for text in texts() for i in tokenizer.encode(text) + [2]])
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3)
    for step in range(80):
        at = torch.randint(0, len(ids) - 65, (8,), generator=torch.Generator().manual_seed(step))
        batch = torch.stack([ids[i:i + 64] for i in at.tolist()])
        loss = model(input_ids=batch, labels=batch).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return model.eval(), loss.item()


def adapted(model, targets, folder):
    """An adapter as PEFT makes and saves it, its B not zero."""
    config = LoraConfig(r=4, lora_alpha=8, target_modules=targets, task_type="CAUSAL_LM", lora_dropout=0.0)
    model = get_peft_model(model, config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0.0, 0.02, generator=torch.Generator().manual_seed(len(name)))
    model.peft_config["default"].base_model_name_or_path = str(folder / "base")
    model.save_pretrained(folder / "adapter")
    return model


def off(ours, theirs):
    """The worst row's root mean square difference over the spread of all logits."""
    ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    return float(np.sqrt(((ours - theirs) ** 2).mean(-1)).max() / theirs.std())


@torch.no_grad()
def logits_of(model, rows):
    return np.concatenate([model(input_ids=torch.tensor([row])).logits[0].numpy() for row in rows])


@torch.no_grad()
def greedy(model, ids):
    ids = list(ids)
    for _ in range(NEW_TOKENS):
        ids.append(int(model(input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
    return ids[-NEW_TOKENS:]


@torch.no_grad()
def lead_of(model, ids, winner, other):
    """By how much one token is likelier than another after `ids`, in logits."""
    logits = model(input_ids=torch.tensor([ids])).logits[0, -1]
    return float(logits[winner] - logits[other])


class Check:
    def __init__(self, family, folder, wardsmith):
        self.family, self.folder, self.wardsmith, self.said, self.failed = family, folder, wardsmith, [], []

    def export(self, model, form, dtype):
        out = self.folder / f"{model}-{form}-{dtype}"
        command = [self.wardsmith, "export", "--model", self.folder / model, "--format", form, "--dtype", dtype, "--overwrite",
                   "--out", out]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
        return out if done.returncode == 0 else done.stdout + done.stderr

    def say(self, what, good):
        self.said.append(what if good else f"{what} (!)")
        if not good:
            self.failed.append(what)

    def near(self, what, value, tolerance):
        self.say(f"{what} {value:.0e}", value <= tolerance)


def transformers_side(check, rows, expected):
    for dtype, tolerance in TRANSFORMERS.items():
        out = check.export("adapter", "hf", dtype)
        if isinstance(out, str):
            return check.say(out, False)
        model, info = AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32, attn_implementation="eager",
                                                           output_loading_info=True)
        check.say("hf", not any(info.values())) if any(info.values()) else None
        check.near(f"hf {dtype}", off(logits_of(model.eval(), rows), expected), tolerance)
        theirs, ours = AutoTokenizer.from_pretrained(check.folder / "base"), AutoTokenizer.from_pretrained(out)
        same = all(theirs(text).input_ids == ours(text).input_ids for text in odd_texts())
        check.say("tokenizer", same and ours.chat_template == CHAT) if dtype == "f32" else None
        assert (out / "generation_config.json").exists()
    out = check.export("adapter", "peft", "f32")
    if isinstance(out, str):
        return check.say(out, False)
    base = AutoModelForCausalLM.from_pretrained(check.folder / "base", dtype=torch.float32, attn_implementation="eager")
    model = PeftModel.from_pretrained(base, out).eval()
    check.near("peft", off(logits_of(model, rows), expected), TRANSFORMERS["f32"])


def classifier_side(check, config, rows):
    torch.manual_seed(1)
    config.id2label, config.label2id = dict(enumerate(LABELS)), {label: i for i, label in enumerate(LABELS)}
    model = AutoModelForSequenceClassification.from_config(config, attn_implementation="eager", dtype=torch.float32).eval()
    with torch.no_grad():
        model.score.weight.normal_(0.0, 0.5)
    model.save_pretrained(check.folder / "classifier")
    out = check.export("classifier", "hf", "f32")
    if isinstance(out, str):
        return check.say(out, False)
    read = AutoModelForSequenceClassification.from_pretrained(out, dtype=torch.float32, attn_implementation="eager").eval()
    classes = lambda model: np.stack([model(input_ids=torch.tensor([row])).logits[0].detach().numpy() for row in rows])
    check.near("classifier", off(classes(read), classes(model)), TRANSFORMERS["f32"])
    check.say("labels", [read.config.id2label[i] for i in range(5)] == LABELS)


def llama_side(check, tokenizer, model, rows, expected, text):
    from llama_cpp import GGML_TYPE_F32, Llama
    for dtype, tolerance in LLAMA.items():
        out = check.export("adapter", "gguf", dtype)
        if isinstance(out, str):
            refused = check.family == "gpt_neo" and "no architecture for `gpt_neo`" in out
            return check.say("gguf refused: no such architecture" if refused else out, refused)
        llm = Llama(str(out), n_ctx=POSITIONS, n_threads=1, logits_all=True, verbose=False, type_k=GGML_TYPE_F32,
                    type_v=GGML_TYPE_F32)
        if dtype == "f32":
            bos = tokenizer.encode("a")[0] == 1
            differ = [t for t in odd_texts() if llm.tokenize(t.encode(), add_bos=bos, special=False) != plain(tokenizer, t)]
            check.say(f"ids of {len(odd_texts()) - len(differ)}/{len(odd_texts())} texts", not differ)
            [print(f"    {t!r}: {llm.tokenize(t.encode(), add_bos=bos, special=False)} {plain(tokenizer, t)}") for t in differ[:3]]
        found = []
        for row in rows:
            llm.reset()
            llm.eval(row)
            found.append(np.array(llm.scores[:len(row)]))
        check.near(f"gguf {dtype}", off(np.concatenate(found), expected), tolerance)
        llm.reset()
        llm.eval(rows[0])
        written = []
        for _ in range(NEW_TOKENS):
            written.append(int(np.argmax(llm.scores[llm.n_tokens - 1])))
            llm.eval(written[-1:])
        same = next((i for i, (a, b) in enumerate(zip(written, text)) if a != b), NEW_TOKENS)
        lead = lead_of(model, rows[0] + text[:same], text[same], written[same]) / expected.std() if same < NEW_TOKENS else 0.0
        tie = f" (then a lead of {lead:.0e})" if same < NEW_TOKENS else ""
        check.say(f"text {same}/{NEW_TOKENS}{tie}", lead <= tolerance)
        llm.close()


def plain(tokenizer, text):
    """Its tokens where special ones are plain characters, as llama.cpp is asked to read it."""
    first = tokenizer.encode("a")[:1] if tokenizer.encode("a")[0] == 1 else []
    return first + tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)


def run(family, folder, wardsmith):
    config, targets, make = FAMILIES[family]
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=make(), bos_token=BOS, eos_token=EOS, pad_token=PAD, unk_token=UNK)
    tokenizer.chat_template = CHAT
    base, loss = trained(config(), tokenizer)
    base.save_pretrained(folder / "base")
    tokenizer.save_pretrained(folder / "base")
    model = adapted(base, targets, folder)
    rows = [tokenizer.encode(PROMPT)] + [tokenizer.encode(text)[:40] for text in texts()[3:40:9]]
    expected, text = logits_of(model, rows), greedy(model, rows[0])
    check = Check(family, folder, wardsmith)
    transformers_side(check, rows, expected)
    classifier_side(check, config(), rows)
    llama_side(check, tokenizer, model, rows, expected, text)
    print(f"{family}: loss {loss:.2f}; {', '.join(check.said)}: {'FAILED' if check.failed else 'ok'}", flush=True)
    return not check.failed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("family", nargs="*", choices=[[], *FAMILIES])
    parser.add_argument("--wardsmith", type=Path, required=True)
    parser.add_argument("--keep", type=Path, help="leaves the folders there")
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    torch.set_num_threads(1)
    place = args.keep or Path(tempfile.mkdtemp())
    good = [run(family, place / family, args.wardsmith.resolve()) for family in args.family or FAMILIES]
    if not args.keep:
        shutil.rmtree(place)
    sys.exit(0 if all(good) else 1)


if __name__ == "__main__":
    main()
