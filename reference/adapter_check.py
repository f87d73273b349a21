"""Loads adapters that Wardsmith wrote into PEFT and holds them against what Wardsmith made of them itself.

    python adapter_check.py RUN [RUN …] [--base DIR]

A RUN is the folder of `wardsmith tune` with `[lora]`. For each: the adapter is loaded strictly on its base (a missing,
unexpected or changed tensor is an error), its logits are compared with those of RUN/model, which Wardsmith merged, and PEFT's
own merge with the weights in RUN/model, tensor by tensor. Fails where one is further off than --tolerance.
"""

import argparse
import json
import warnings
from pathlib import Path

import torch
from transformers import AutoModelForSequenceClassification
from transformers.utils import logging

from read_back import is_classifier, load_adapter, load_model

ROWS, LENGTH = 3, 48


def base_of(run, given):
    """Where the base lies, as a model of the kind that the adapter was trained on."""
    config = json.loads((run / "adapter" / "adapter_config.json").read_text(encoding="utf8"))
    said = Path(given or config["base_model_name_or_path"])
    places = [said] if given else [said, run.parent / said, run.parent.parent / said]
    folder = next(place for place in places if (place / "config.json").exists())
    if not is_classifier(run / "model"):
        return config, load_model(folder)
    merged = json.loads((run / "model" / "config.json").read_text(encoding="utf8"))
    model = AutoModelForSequenceClassification.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", num_labels=len(merged["id2label"]),
        pad_token_id=merged["pad_token_id"])
    return config, model.eval()


@torch.no_grad()
def logits_of(model, rows):
    return torch.stack([model(input_ids=row[None]).logits[0] for row in rows])


def kind(config):
    names = [name for key, name in (("use_rslora", "rsLoRA"), ("use_dora", "DoRA")) if config[key]] or ["LoRA"]
    return f"{' + '.join(names)}, rank {config['r']}, dropout {config['lora_dropout']}, on {config['target_modules']}"


def check(run, given, tolerance):
    config, base = base_of(run, given)
    merged = load_model(run / "model")
    rows = torch.randint(3, base.config.vocab_size, (ROWS, LENGTH), generator=torch.Generator().manual_seed(0))
    plain = logits_of(base, rows)
    adapted = load_adapter(base, run / "adapter")
    theirs, ours = logits_of(adapted, rows), logits_of(merged, rows)
    off, moved = (theirs - ours).abs().max().item(), (theirs - plain).abs().max().item()
    unloaded = adapted.merge_and_unload().state_dict()
    weights = {name: value for name, value in merged.state_dict().items() if name in unloaded}
    assert weights.keys() == merged.state_dict().keys(), "a merged model has the base's tensors"
    far = max((unloaded[name] - value).abs().max().item() for name, value in weights.items())
    print(f"{run.name}: {type(merged).__name__}, {kind(config)}")
    print(f"  logits {tuple(theirs.shape)}: the adapter moves them by up to {moved:.2f}; PEFT and ours differ by at most {off:.1e}")
    print(f"  merged weights, {len(weights)} tensors: PEFT's and ours differ by at most {far:.1e}")
    return off <= tolerance and far <= tolerance and moved > 100 * tolerance


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, nargs="+")
    parser.add_argument("--base", help="the base, where it is not at the place that the adapter names")
    parser.add_argument("--tolerance", type=float, default=1e-4)
    args = parser.parse_args()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    warnings.filterwarnings("ignore", category=FutureWarning)
    torch.set_num_threads(1)
    good = [check(run, args.base, args.tolerance) for run in args.run]
    print(f"{sum(good)} of {len(good)} within {args.tolerance:g}")
    raise SystemExit(not all(good))


if __name__ == "__main__":
    main()
