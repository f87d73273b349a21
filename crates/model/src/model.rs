//! A whole model: decoder, head, weights and gradients, behind the few calls that training and inference need.

use std::borrow::Cow;

use serde_json::Value;

use crate::checkpoint::Storage;
use crate::decoder::{Decoder, Tokens};
use crate::error::{Error, Result};
use crate::families::Family;
use crate::head::{Head, HeadKind};
use crate::layers::linear::Linear;
use crate::layers::workspace::Workspace;
use crate::ops::attention::Document;
use crate::ops::quant::Format;
use crate::params::{Gradients, ParamId, Params};
use crate::spec::DecoderSpec;
use crate::weights::{Init, TensorSource};

/// Whether backward passes will be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Forward only.
    Inference,
    /// Forward and backward.
    Training,
}

/// A supervised position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// The row whose hidden state predicts.
    pub position: u32,
    /// The token (or label) it should predict.
    pub token: u32,
}

/// Packed documents with what is to be learnt from them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// (T): token ids of all documents, one after the other.
    pub ids: Vec<u32>,
    /// The documents' lengths, summing to T.
    pub lengths: Vec<usize>,
    /// For each document the number of the one, before it, that is its beginning and that it shares with others; empty where
    /// no document has one. A beginning has none of its own.
    pub beginnings: Vec<Option<usize>>,
    /// Supervised positions.
    pub targets: Vec<Target>,
}

impl Batch {
    /// Where each document lies, and what it sees.
    pub fn documents(&self) -> Vec<Document> {
        let mut documents = Document::alone(&self.lengths);
        for (i, beginning) in self.beginnings.iter().enumerate() {
            if let Some(beginning) = beginning {
                documents[i].before = documents[*beginning].own.clone();
            }
        }
        documents
    }

    /// Positions within the documents, (T): those behind a shared beginning go on from it.
    pub fn positions(&self) -> Vec<u32> {
        let positions = |d: Document| d.before.len() as u32..(d.before.len() + d.own.len()) as u32;
        self.documents().into_iter().flat_map(positions).collect()
    }

    /// The supervised rows in order, `None` for all rows, and the targets with their places among these.
    fn wanted(&self) -> (Option<Vec<u32>>, Cow<'_, [Target]>) {
        let mut rows: Vec<u32> = self.targets.iter().map(|target| target.position).collect();
        rows.sort_unstable();
        rows.dedup();
        if rows.is_empty() || rows.len() >= self.ids.len() {
            return (None, Cow::Borrowed(&self.targets));
        }
        let place = |target: &Target| rows.partition_point(|row| *row < target.position) as u32;
        let targets = self.targets.iter().map(|target| Target { position: place(target), ..*target }).collect();
        (Some(rows), Cow::Owned(targets))
    }
}

/// A model in memory.
pub struct Model {
    /// Its family.
    pub family: &'static dyn Family,
    /// Its shape.
    pub spec: DecoderSpec,
    /// `config.json` as read, kept for saving.
    pub config: Value,
    /// The weights.
    pub params: Params,
    /// The blocks.
    pub decoder: Decoder,
    /// The head.
    pub head: Head,
    pub(crate) purpose: Purpose,
}

impl Model {
    /// Builds a model from a family, its spec and a source of weights, held as `storage` says. `labels` makes a classifier.
    pub fn build(
        family: &'static dyn Family,
        (spec, config): (DecoderSpec, Value),
        labels: Option<usize>,
        (source, storage): (&mut dyn TensorSource, Storage),
        purpose: Purpose,
    ) -> Result<Self> {
        let mut params = Params::default();
        let decoder = Decoder::build(&spec, family.names(), &mut params, (&mut *source, storage))?;
        let head_name = format!("{}.weight", family.names().head);
        let mut add = |name: &str, rows: usize| -> Result<_> {
            let shape = [rows, spec.hidden];
            let value = source.tensor(name, &shape, Init::Normal(spec.initializer_range))?;
            Ok(params.add(name.to_owned(), shape.to_vec(), value))
        };
        let (kind, weight, classes) = match labels {
            Some(n) => (HeadKind::Classifier, add("score.weight", n)?, n),
            None if spec.tied => (HeadKind::LanguageModel, decoder.embedding, spec.vocab),
            None => (HeadKind::LanguageModel, add(&head_name, spec.vocab)?, spec.vocab),
        };
        if kind == HeadKind::LanguageModel && weight != decoder.embedding {
            params.freeze(weight, storage.rest);
        }
        let linear = Linear::new(weight, None, spec.hidden, classes);
        // Transformers caps the language model's logits only: its classifiers have no cap.
        let softcap = spec.logit_softcap.filter(|_| kind == HeadKind::LanguageModel);
        let head = Head { kind, norm: decoder.final_norm, linear, softcap };
        Ok(Self { family, spec, config, params, decoder, head, purpose })
    }

    /// Makes every tensor trainable.
    ///
    /// # Panics
    /// When one is held in fewer bits than f32.
    pub fn train_all(&mut self) {
        assert!(self.params.iter().all(|(_, p)| p.frozen.is_none()), "only weights in f32 can be trained");
        self.params.iter_mut().for_each(|(_, p)| p.trainable = true);
    }

    /// Keeps the matrices of a model for inference in fewer bits only: those of the blocks, the embedding and the language
    /// model's head. A classifier's head, norms and biases stay as they are. Cannot be undone.
    ///
    /// # Panics
    /// When the model was built for training.
    pub fn quantise(&mut self, format: Format) {
        assert_eq!(self.purpose, Purpose::Inference, "a model in training keeps its weights");
        let mut ids: Vec<ParamId> = self.decoder.linears_mut().map(|linear| linear.weight).collect();
        ids.push(self.decoder.embedding);
        if self.head.kind == HeadKind::LanguageModel {
            ids.push(self.head.linear.weight);
        }
        ids.into_iter().for_each(|id| self.params.quantise(id, format));
    }

    /// Bytes of all weights, in every form in which they are held.
    pub fn weight_bytes(&self) -> usize {
        self.params.bytes()
    }

    /// Refuses ids, lengths or targets that do not fit the model.
    pub fn check(&self, batch: &Batch) -> Result<()> {
        let fail = |reason: String| Err(Error::Batch { reason });
        if batch.lengths.iter().sum::<usize>() != batch.ids.len() {
            return fail("the documents' lengths do not sum to the number of tokens".into());
        }
        if let Some(id) = batch.ids.iter().find(|id| **id as usize >= self.spec.vocab) {
            return fail(format!("token {id} is outside the vocabulary of {}", self.spec.vocab));
        }
        let plain = |beginning: &usize| batch.beginnings.get(*beginning).copied().flatten().is_none();
        let sound = |(i, b): (usize, &Option<usize>)| b.is_none_or(|b| b < i && plain(&b));
        if !(batch.beginnings.is_empty() || batch.beginnings.len() == batch.lengths.len())
            || !batch.beginnings.iter().enumerate().all(sound)
        {
            return fail("a shared beginning is not a document before, without a beginning of its own".into());
        }
        let longest = batch.documents().iter().map(|d| d.before.len() + d.own.len()).max();
        if let Some((limit, longest)) = self.spec.positions.limit().zip(longest)
            && longest > limit
        {
            return fail(format!("a document of {longest} tokens is longer than the model's {limit} positions"));
        }
        let (rows, classes) = (batch.ids.len(), self.head.linear.outputs);
        match batch.targets.iter().find(|t| t.position as usize >= rows || t.token as usize >= classes) {
            Some(t) => fail(format!("target {} at position {} does not exist", t.token, t.position)),
            None => Ok(()),
        }
    }

    /// Runs a batch forward and backward: returns Σ of the losses in nats and adds the gradients of `scale · Σ`. Dropout is
    /// drawn from the workspace's noise.
    pub fn accumulate(
        &self,
        batch: &Batch,
        scale: f32,
        gradients: &mut Gradients,
        workspace: &mut Workspace,
    ) -> Result<f64> {
        assert_eq!(self.purpose, Purpose::Training, "the model was loaded for inference");
        self.check(batch)?;
        let (documents, positions) = (batch.documents(), batch.positions());
        let (wanted, targets) = batch.wanted();
        let tokens =
            Tokens { ids: &batch.ids, documents: &documents, positions: &positions, wanted: wanted.as_deref() };
        let (x, trace) = self.decoder.forward(&self.params, tokens, workspace);
        let (loss, d_x) = self.head.backward(&self.params, &x, &targets, scale, (gradients, workspace));
        workspace.give(x);
        self.decoder.backward(&self.params, d_x, trace, tokens, (gradients, workspace));
        Ok(loss)
    }

    /// Hidden states (W, d) before the final norm of the tokens that are asked for, or of all.
    fn hidden(&self, batch: &Batch, wanted: Option<&[u32]>, workspace: &mut Workspace) -> Result<Vec<f32>> {
        self.check(batch)?;
        let (documents, positions) = (batch.documents(), batch.positions());
        let tokens = Tokens { ids: &batch.ids, documents: &documents, positions: &positions, wanted };
        let (x, trace) = self.decoder.forward(&self.params, tokens, workspace);
        trace.release(workspace);
        Ok(x)
    }

    /// Each target's loss in nats.
    pub fn losses(&self, batch: &Batch, workspace: &mut Workspace) -> Result<Vec<f64>> {
        let (wanted, targets) = batch.wanted();
        let x = self.hidden(batch, wanted.as_deref(), workspace)?;
        let losses = self.head.losses(&self.params, &x, &targets, workspace);
        workspace.give(x);
        Ok(losses)
    }

    /// One vector for each document, (documents, d): the mean of its tokens' hidden states after the final norm, as
    /// Transformers' `last_hidden_state` averaged over the tokens.
    pub fn embeddings(&self, batch: &Batch, workspace: &mut Workspace) -> Result<Vec<f32>> {
        if batch.lengths.contains(&0) {
            return Err(Error::Batch { reason: "a document without tokens has no mean".into() });
        }
        let x = self.hidden(batch, None, workspace)?;
        let mut normed = workspace.take(x.len());
        self.decoder.final_norm.forward(&self.params, &mut normed, &x);
        let d = self.spec.hidden;
        let mut means = vec![0.0_f32; batch.lengths.len() * d];
        let mut start = 0;
        for (mean, length) in means.chunks_exact_mut(d).zip(&batch.lengths) {
            for row in normed[start * d..][..length * d].chunks_exact(d) {
                mean.iter_mut().zip(row).for_each(|(m, x)| *m += x);
            }
            mean.iter_mut().for_each(|m| *m /= *length as f32);
            start += length;
        }
        workspace.give(x);
        workspace.give(normed);
        Ok(means)
    }

    /// Logits at the targets' positions, (targets, classes).
    pub fn logits(&self, batch: &Batch, workspace: &mut Workspace) -> Result<Vec<f32>> {
        let (wanted, targets) = batch.wanted();
        let x = self.hidden(batch, wanted.as_deref(), workspace)?;
        let d = self.spec.hidden;
        let rows: Vec<f32> = targets.iter().flat_map(|t| &x[t.position as usize * d..][..d]).copied().collect();
        workspace.give(x);
        Ok(self.head.logits(&self.params, &rows, workspace))
    }
}
