//! `wardsmith classify`: descriptions → their likeliest weaknesses.

use std::io::{BufRead, IsTerminal};

use anyhow::{Context, Result, bail};
use serde::Serialize;
use wardsmith_records::conversation::Conversation;
use wardsmith_records::dataset::{Dataset, LabelInfo};
use wardsmith_records::tasks::cwe_classify::{self, CweClassify};

use crate::cli;
use crate::respond::{self, Choice, Prompt, Respond, Scores};
use crate::say::{self, count};

/// Descriptions of standard input that are answered together; bounds the memory of a long stream.
const DESCRIPTIONS_PER_BATCH: usize = 256;
/// No description is longer.
const MAX_DESCRIPTION_BYTES: usize = 1 << 20;

/// Runs the command.
pub(crate) fn run(args: &cli::Classify) -> Result<()> {
    let classifier = Classifier::open(args)?;
    if !args.text.is_empty() {
        return classifier.answer(&args.text, args);
    }
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        say::note("reading descriptions, one a line; end with Ctrl-D");
    }
    let mut batch = Vec::new();
    for (number, line) in stdin.lock().lines().enumerate() {
        let line = line.with_context(|| {
            format!(
                "line {} of standard input cannot be read\nhint: descriptions are UTF-8 text, one a line",
                number + 1
            )
        })?;
        batch.push(line);
        if batch.len() == DESCRIPTIONS_PER_BATCH || stdin.is_terminal() {
            classifier.answer(&batch, args)?;
            batch.clear();
        }
    }
    classifier.answer(&batch, args)
}

/// A model with the labels it chooses from.
pub(crate) struct Classifier {
    model: Box<dyn Respond>,
    labels: Vec<LabelInfo>,
}

/// One answer, also as a JSON line.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Classified {
    /// The description.
    pub(crate) text: String,
    /// The likeliest labels, best first.
    pub(crate) labels: Vec<Likely>,
}

/// A label with its probability among all labels.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Likely {
    /// The label, such as `CWE-79`.
    pub(crate) label: String,
    /// Its name in words.
    pub(crate) title: String,
    /// 0..=1.
    pub(crate) probability: f64,
}

impl Classifier {
    fn open(args: &cli::Classify) -> Result<Self> {
        let (model, manifest) = respond::open(&args.model)?;
        let labels = match (&args.data, manifest) {
            (Some(data), _) => Dataset::open(data)?.labels,
            (None, Some(manifest)) => manifest.labels,
            (None, None) => Vec::new(),
        };
        if labels.is_empty() {
            bail!(
                "`{}` does not say which labels there are to choose from\nhint: name the dataset with --data, or use a model that `wardsmith tune` made for `cwe_classify`",
                args.model.display()
            );
        }
        Ok(Self { model, labels })
    }

    fn answer(&self, texts: &[String], args: &cli::Classify) -> Result<()> {
        let texts: Vec<&str> = texts.iter().map(|text| text.trim()).filter(|text| !text.is_empty()).collect();
        if let Some(long) = texts.iter().find(|text| text.len() > MAX_DESCRIPTION_BYTES) {
            bail!(
                "a description has {} bytes\nhint: one description a line, of at most 1 MiB",
                count(long.len() as u64)
            );
        }
        for classified in self.classify(&texts, args.top.into())? {
            if args.json {
                say::result(serde_json::to_string(&classified)?);
            } else {
                lines(&classified).iter().for_each(say::result);
            }
        }
        Ok(())
    }

    /// The `top` likeliest labels of each text.
    fn classify(&self, texts: &[&str], top: usize) -> Result<Vec<Classified>> {
        let question = |text: &&str| Conversation::question(cwe_classify::question(text), String::new());
        let conversations: Vec<Conversation> = texts.iter().map(question).collect();
        let inputs: Vec<_> = texts.iter().map(|text| cwe_classify::hide_ids(text)).collect();
        let prompt = |(conversation, input)| Prompt { conversation, input };
        let prompts: Vec<Prompt<'_>> = conversations.iter().zip(inputs.iter().map(AsRef::as_ref)).map(prompt).collect();
        let choices = Choice::all(&self.labels, &CweClassify);
        let scores = self.model.score(&prompts, &choices, &|_| ())?;
        let classified = |(text, scores): (&&str, &Scores)| Classified {
            text: (*text).to_owned(),
            labels: self.likeliest(scores, top),
        };
        Ok(texts.iter().zip(&scores).map(classified).collect())
    }

    fn likeliest(&self, scores: &Scores, top: usize) -> Vec<Likely> {
        let best = scores.nats.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = scores.nats.iter().map(|nats| (nats - best).exp()).sum();
        let mut ranked: Vec<(&LabelInfo, f64)> = self.labels.iter().zip(scores.nats.iter().copied()).collect();
        ranked.sort_by(|left, right| right.1.total_cmp(&left.1));
        let likely = |(label, nats): (&LabelInfo, f64)| Likely {
            label: label.name.clone(),
            title: label.title.clone(),
            probability: (nats - best).exp() / sum,
        };
        ranked.into_iter().take(top).map(likely).collect()
    }
}

/// The answer for people.
fn lines(classified: &Classified) -> Vec<String> {
    const MOST: usize = 100;
    let shown: String = match classified.text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", classified.text[..end].trim_end()),
        None => classified.text.clone(),
    };
    let label =
        |likely: &Likely| format!("  {:>5.1} %  {:<9} {}", 100.0 * likely.probability, likely.label, likely.title);
    std::iter::once(shown).chain(classified.labels.iter().map(label)).collect()
}
