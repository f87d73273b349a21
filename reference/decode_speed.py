"""How fast llama.cpp or Transformers writes, measured as `cargo bench -p wardsmith-model --bench inference` does: one sequence,
a prompt of 128 tokens, then 128 tokens, each the likeliest; the shortest of some times; two threads.

`decode_speed.py llama.cpp FILE.gguf [TIMES]` (needs llama-cpp-python) or `decode_speed.py transformers MODEL_DIR [TIMES [cpu]]`.
With `cpu`, one thread and its seconds on the processor, which a busy machine does not lengthen as it does the time."""

import sys
import time

PROMPT, NEW, THREADS = 128, 128, 2
REPEATS = int(sys.argv[3]) if len(sys.argv) > 3 else 3
CLOCK = time.perf_counter
if sys.argv[4:] == ["cpu"]:
    THREADS, CLOCK = 1, time.process_time


def ids(vocab):
    return [3 + i * 7919 % (vocab - 3) for i in range(PROMPT)]


def report(name, runs):
    prefill, decode = (min(r[i] for r in runs) for i in (0, 1))
    print(f"{name}: prefill {PROMPT / prefill:.0f} tokens/s, decode {NEW / decode:.1f} tokens/s", flush=True)


def llama_cpp(path):
    import llama_cpp
    from llama_cpp import Llama

    llm = Llama(path, n_ctx=512, n_batch=512, n_threads=THREADS, n_threads_batch=THREADS, verbose=False)
    print(llama_cpp.llama_print_system_info().decode())
    prompt, runs = ids(llm.n_vocab()), []
    for _ in range(REPEATS):
        llm.reset()
        start = CLOCK()
        llm.eval(prompt)
        read = CLOCK()
        for _ in range(NEW):
            llm.eval([int(llm._scores[-1].argmax())])
        runs.append((read - start, CLOCK() - read))
    report(f"llama.cpp (llama-cpp-python {llama_cpp.__version__}) {path.rsplit('-', 1)[-1]}", runs)


def transformers(path):
    import torch
    from transformers import AutoModelForCausalLM, __version__

    torch.set_num_threads(THREADS)
    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()
    prompt, runs = torch.tensor([ids(model.config.vocab_size)]), []
    with torch.inference_mode():
        for _ in range(REPEATS):
            start = CLOCK()
            out = model(prompt, use_cache=True, logits_to_keep=1)
            read = CLOCK()
            for _ in range(NEW):
                token = out.logits[:, -1].argmax(-1, keepdim=True)
                out = model(token, past_key_values=out.past_key_values, use_cache=True)
            runs.append((read - start, CLOCK() - read))
    report(f"Transformers {__version__}, torch {torch.__version__}, f32", runs)


{"llama.cpp": llama_cpp, "transformers": transformers}[sys.argv[1]](sys.argv[2])
