"""Writes fixtures/metrics/golden.json: what sacreBLEU, rouge-score, scikit-learn and torchmetrics say of answers of our own.

Texts are answers to mitigation questions, labels are drawn weaknesses with probabilities; `crates/eval/tests/golden.rs`
computes the same values from the same answers."""

import collections
import json
import pathlib
import re
import string

import numpy
import rouge_score
import sacrebleu
import sklearn
import sklearn.metrics as sk
import torch
import torchmetrics
from rouge_score import rouge_scorer

OUT = pathlib.Path(__file__).resolve().parent.parent / "fixtures" / "metrics" / "golden.json"

# (said, expected)
TEXTS = [
    ("Update the library to version 2.4.1 or later.", "Update the library to version 2.4.1 or later."),
    ("Update to 2.4.1, and restart the service!", "Update the library to version 2.4.1, then restart the service."),
    ("Encode output for HTML; validate input on the server-side.", "Validate all input on the server side and encode output."),
    ("Use prepared statements (never string concatenation) & least privilege.", "Use parameterised queries; run with the least privilege."),
    ("", "Disable the debug endpoint."),
    ("The CVSS score is 9.8 - patch at once: CVE-2021-0001 is used in attacks.", "Patch at once, the score is 9.8-10.0."),
    ("Größe prüfen; naïve checks fail — see §3.", "Check the size: naïve checks fail, see §3."),
    ("free the buffer once once once once", "free the buffer once"),
    ("An attacker can read memory.", "The attacker reads the memory"),
    ("no overlap whatsoever here", "completely different words stand there"),
    ("<b>bold</b> &amp; &quot;quoted&quot; $100,000.00 1,5 and 3-4", "<b>bold</b> & \"quoted\" $100,000.00 1.5 and 3-4"),
    ("short", "a much longer text that the short answer does not cover at all, whatever it says"),
]
LABELS = sorted(["CWE-79", "CWE-89", "CWE-22", "CWE-416", "CWE-787", "CWE-352"])


def squad(text):
    text = "".join(c for c in text.lower() if c not in set(string.punctuation))
    return re.sub(r"\b(a|an|the)\b", " ", text).split()


def token_f1(said, expected):
    said, expected = squad(said), squad(expected)
    common = sum((collections.Counter(said) & collections.Counter(expected)).values())
    if not said or not expected:
        return float(said == expected)
    precision, recall = common / len(said), common / len(expected)
    return 2 * precision * recall / (precision + recall) if common else 0.0


def texts(pairs):
    said, expected = [p[0] for p in pairs], [p[1] for p in pairs]
    rouge = rouge_scorer.RougeScorer(["rougeL"], use_stemmer=False)
    mean = lambda values: float(numpy.mean(list(values)))
    return {
        "bleu": sacrebleu.corpus_bleu(said, [expected]).score,
        "chrf": sacrebleu.corpus_chrf(said, [expected]).score,
        "rouge_l": mean(rouge.score(e, s)["rougeL"].fmeasure for s, e in pairs),
        "exact_match": mean(float(squad(s) == squad(e)) for s, e in pairs),
        "token_f1": mean(token_f1(s, e) for s, e in pairs),
    }


def answers(seed, count, sharpness):
    random = numpy.random.default_rng(seed)
    drawn = []
    for _ in range(count):
        gold = int(random.choice(len(LABELS), p=[0.35, 0.25, 0.15, 0.1, 0.1, 0.05]))
        logits = random.normal(size=len(LABELS)) + sharpness * (numpy.arange(len(LABELS)) == gold)
        # No two labels of an answer are equally likely: which of them comes first is no fact about a metric.
        scores = numpy.exp(numpy.round(logits, 1) + 0.001 * numpy.arange(len(LABELS)))
        drawn.append((gold, scores / scores.sum(), bool(random.random() < 0.15)))
    return drawn


def labels(drawn):
    gold = numpy.array([g for g, _, _ in drawn])
    probabilities = numpy.array([p for _, p, _ in drawn])
    best = probabilities.argmax(axis=1)
    said = numpy.where([u for _, _, u in drawn], -1, best)  # -1: unparseable
    known = list(range(len(LABELS)))
    values = {"accuracy": float((gold == said).mean()), "mcc": float(sk.matthews_corrcoef(gold, said))}
    for average in ["macro", "micro", "weighted"]:
        p, r, f, _ = sk.precision_recall_fscore_support(gold, said, labels=known, average=average, zero_division=0)
        values |= {f"{average}_precision": float(p), f"{average}_recall": float(r), f"{average}_f1": float(f)}
    values["top_3"] = float(sk.top_k_accuracy_score(gold, probabilities, k=3, labels=known))
    values["roc_auc"] = float(sk.roc_auc_score(gold, probabilities, multi_class="ovr", average="macro"))
    onehot = numpy.eye(len(LABELS))[gold]
    values["pr_auc"] = float(sk.average_precision_score(onehot, probabilities, average="macro"))
    values["brier"] = float(((probabilities - onehot) ** 2).sum(axis=1).mean())
    # A system that always answers its likeliest label, since calibration is about that one.
    calibration = torchmetrics.classification.MulticlassCalibrationError(len(LABELS), n_bins=15, norm="l1")
    values["ece_of_best"] = float(calibration(torch.tensor(probabilities), torch.tensor(gold)))
    rows = [
        {"gold": LABELS[g], "said": None if u else LABELS[int(p.argmax())], "probabilities": dict(zip(LABELS, p.tolist()))}
        for g, p, u in drawn
    ]
    return {"answers": rows, "values": values}


def main():
    cases = {
        "versions": {
            "sacrebleu": sacrebleu.__version__,
            "rouge-score": getattr(rouge_score, "__version__", "0.1.2"),
            "scikit-learn": sklearn.__version__,
            "torchmetrics": torchmetrics.__version__,
        },
        "bleu_signature": "",
        "texts": [{"pairs": pairs, "values": texts(pairs)} for pairs in (TEXTS, TEXTS[:2], TEXTS[5:8], TEXTS[9:10], TEXTS[7:8])],
        "labels": [labels(answers(*case)) for case in [(0, 200, 1.5), (1, 60, 3.0), (2, 60, 0.0)]],
    }
    bleu = sacrebleu.BLEU()
    bleu.corpus_score([TEXTS[0][0]], [[TEXTS[0][1]]])
    cases["bleu_signature"] = str(bleu.get_signature())
    OUT.write_text(json.dumps(cases, indent=1, ensure_ascii=False) + "\n")
    print(OUT, cases["versions"], cases["bleu_signature"], [case["values"] for case in cases["texts"]])


main()
