//! `wardsmith classify`: descriptions → their likeliest weaknesses.

use std::io::{BufRead, IsTerminal, Read};

use anyhow::{Context, Result, anyhow, bail};
use serde::Serialize;
use wardsmith_model::ops::quant::Format;
use wardsmith_records::clean::one_line;
use wardsmith_records::conversation::Conversation;
use wardsmith_records::dataset::LabelInfo;
use wardsmith_records::task::Task;
use wardsmith_records::tasks::cwe_classify::{self, CweClassify};

use crate::cli;
use crate::respond::{self, Choice, Prompt, Respond, Scores, Wanted};
use crate::{keys, say};

/// Descriptions of standard input that are answered together; bounds the memory of a long stream.
const DESCRIPTIONS_PER_BATCH: usize = 256;
/// No description is longer.
const MAX_DESCRIPTION_BYTES: usize = 1 << 20;

/// Runs the command.
pub(crate) fn run(args: &cli::Classify) -> Result<()> {
    if !args.text.is_empty() && args.text.iter().all(|text| text.trim().is_empty()) {
        bail!("the description is empty\nhint: write it between quotes, or leave it out to read standard input");
    }
    let classifier = Classifier::open(args)?;
    if !args.text.is_empty() {
        return classifier.answer(&args.text, args);
    }
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        say::note("reading descriptions, one a line; end with Ctrl-D");
    }
    let mut batch = Vec::new();
    let mut input = stdin.lock();
    loop {
        let line = match next_line(&mut input) {
            Ok(Some(line)) => line,
            Ok(None) => break,
            Err(error) => {
                classifier.answer(&batch, args)?;
                return Err(error);
            }
        };
        if say::is_closed() {
            return Ok(());
        }
        batch.push(line);
        if batch.len() == DESCRIPTIONS_PER_BATCH || stdin.is_terminal() {
            classifier.answer(&batch, args)?;
            batch.clear();
        }
    }
    classifier.answer(&batch, args)
}

/// The next line, none longer than [`MAX_DESCRIPTION_BYTES`]: a stream without line ends must not fill the memory.
pub(crate) fn next_line(input: &mut impl BufRead) -> Result<Option<String>> {
    let hint = "hint: descriptions are UTF-8 text, one a line, of at most 1 MiB";
    let mut line = Vec::new();
    // With the end of its line, and one more to see that it is too long.
    let most = MAX_DESCRIPTION_BYTES as u64 + 2;
    let read = input.by_ref().take(most).read_until(b'\n', &mut line);
    let bytes = read.with_context(|| format!("standard input cannot be read\n{hint}"))?;
    if bytes as u64 == most {
        bail!("a line of standard input is too long\n{hint}");
    }
    let line = String::from_utf8(line).map_err(|_| anyhow!("a line of standard input is not UTF-8\n{hint}"))?;
    Ok((bytes > 0).then_some(line))
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
    /// 0..=1; labels that were not scored count with what they have at most.
    pub(crate) probability: f64,
}

impl Classifier {
    fn open(args: &cli::Classify) -> Result<Self> {
        let format = args.bits.map(|bits| if bits == 8 { Format::Q8_0 } else { Format::Q4_0 });
        let (model, manifest) = respond::open(&args.model, format)?;
        let labels = match (&args.data, manifest) {
            (Some(data), _) => keys::open(data)?.labels(CweClassify.name()).to_vec(),
            (None, Some(mut manifest)) => manifest.tasks.remove(CweClassify.name()).unwrap_or_default(),
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
        let prompt = |(conversation, input)| Prompt { conversation, input, certain: None };
        let prompts: Vec<Prompt<'_>> = conversations.iter().zip(inputs.iter().map(AsRef::as_ref)).map(prompt).collect();
        let choices = Choice::all(&self.labels, &CweClassify);
        let scores = self.model.score(&prompts, Wanted { choices: &choices, ranked: top, exact: false }, &|_| ())?;
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
            probability: (nats - best).exp() / sum / (1.0 + scores.left_out),
        };
        ranked.into_iter().take(top).map(likely).collect()
    }
}

/// The answer for people.
fn lines(classified: &Classified) -> Vec<String> {
    const MOST: usize = 100;
    let text = one_line(&classified.text);
    let shown: String = match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", text[..end].trim_end()),
        None => text,
    };
    let label =
        |likely: &Likely| format!("  {:>5.1} %  {:<9} {}", 100.0 * likely.probability, likely.label, likely.title);
    std::iter::once(shown).chain(classified.labels.iter().map(label)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_one_by_one_and_endless_ones_are_refused() {
        let mut input = "first\n\nlast".as_bytes();
        let mut lines = Vec::new();
        while let Some(line) = next_line(&mut input).unwrap() {
            lines.push(line);
        }
        assert_eq!(lines, ["first\n", "\n", "last"]);
        let endless = std::io::repeat(b'a');
        assert!(next_line(&mut std::io::BufReader::new(endless)).unwrap_err().to_string().contains("too long"));
        assert!(next_line(&mut &b"\xff\n"[..]).unwrap_err().to_string().contains("not UTF-8"));
    }
}
