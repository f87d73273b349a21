//! The tensors of a model by number, and their gradients beside them.

use std::borrow::Cow;
use std::ops::{Index, IndexMut};
use std::sync::Arc;

use crate::ops::frozen::{Form, FrozenMatrix};
use crate::ops::matmul::Right;
use crate::ops::pool;
use crate::ops::quant::{Format, QuantMatrix};

/// Names one tensor of a [`Params`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ParamId(usize);

impl ParamId {
    /// Its place among the tensors.
    pub fn number(self) -> u64 {
        self.0 as u64
    }
}

/// One tensor.
#[derive(Clone, Debug)]
pub struct Param {
    /// The Hugging Face name.
    pub name: String,
    /// Row-major shape.
    pub shape: Vec<usize>,
    /// The values; empty once they are [`Self::frozen`] or [`Self::quantised`].
    pub value: Vec<f32>,
    /// The values in fewer bits, of a matrix that training reads and does not change.
    pub frozen: Option<Arc<FrozenMatrix>>,
    /// The values in fewer bits, for inference.
    pub quantised: Option<Arc<QuantMatrix>>,
    /// Whether Hugging Face stores the transpose of this matrix.
    pub transposed: bool,
    /// Whether the optimiser changes it.
    pub trainable: bool,
}

impl Param {
    /// The values in f32, in whatever form they are kept.
    pub fn values(&self) -> Cow<'_, [f32]> {
        match (&self.frozen, &self.quantised) {
            (Some(matrix), _) => matrix.values().into(),
            (None, Some(matrix)) => {
                let mut values = vec![0.0; self.shape.iter().product()];
                values.chunks_exact_mut(matrix.columns.max(1)).enumerate().for_each(|(i, row)| matrix.row(i, row));
                values.into()
            }
            (None, None) => Cow::Borrowed(&self.value),
        }
    }

    /// Row `row` of `columns` values, in f32, in whatever form the tensor is kept.
    pub fn row(&self, row: usize, columns: usize) -> Cow<'_, [f32]> {
        let expanded = |read: &dyn Fn(&mut [f32])| {
            let mut values = vec![0.0; columns];
            read(&mut values);
            Cow::Owned(values)
        };
        match (&self.frozen, &self.quantised) {
            (Some(matrix), _) => expanded(&|out| matrix.row(row, out)),
            (None, Some(matrix)) => expanded(&|out| matrix.row(row, out)),
            (None, None) => Cow::Borrowed(&self.value[row * columns..][..columns]),
        }
    }

    /// The transpose of a matrix (out, in), as B of a product.
    ///
    /// # Panics
    /// When it is kept for inference only, see [`Self::quantised`].
    pub fn turned(&self) -> Right<'_> {
        match &self.frozen {
            Some(matrix) => Right::Stored { matrix, turned: true },
            None => Right::turned(&self.value, self.shape[1]),
        }
    }

    /// A matrix (out, in), as B of a product.
    ///
    /// # Panics
    /// When it is kept for inference only, see [`Self::quantised`].
    pub fn lying(&self) -> Right<'_> {
        match &self.frozen {
            Some(matrix) => Right::Stored { matrix, turned: false },
            None => Right::rows(&self.value, self.shape[1]),
        }
    }

    /// The shape in Hugging Face's files.
    pub fn stored_shape(&self) -> Vec<usize> {
        let mut shape = self.shape.clone();
        if self.transposed {
            shape.reverse();
        }
        shape
    }

    /// Holds other values, in f32.
    ///
    /// # Panics
    /// When they are more or fewer.
    pub fn set(&mut self, value: Vec<f32>) {
        assert_eq!(self.shape.iter().product::<usize>(), value.len(), "`{}` has another size", self.name);
        (self.value, self.frozen, self.quantised) = (value, None, None);
    }

    /// Values in this tensor's layout (its own, or its gradient) as Hugging Face's files hold them.
    pub fn stored<'a>(&self, values: &'a [f32]) -> Cow<'a, [f32]> {
        if self.transposed { transpose(values, self.shape[1]).into() } else { values.into() }
    }
}

/// The transpose of a row-major matrix that has `columns` columns.
pub fn transpose(values: &[f32], columns: usize) -> Vec<f32> {
    (0..columns).flat_map(|j| values.iter().skip(j).step_by(columns).copied()).collect()
}

/// All tensors of a model.
#[derive(Clone, Debug, Default)]
pub struct Params {
    list: Vec<Param>,
}

impl Params {
    /// Adds a tensor, frozen until [`Param::trainable`] is set.
    pub fn add(&mut self, name: String, shape: Vec<usize>, value: Vec<f32>) -> ParamId {
        assert_eq!(
            shape.iter().product::<usize>(),
            value.len(),
            "`{name}` holds another number of values than its shape"
        );
        self.list.push(Param {
            name,
            shape,
            value,
            frozen: None,
            quantised: None,
            transposed: false,
            trainable: false,
        });
        ParamId(self.list.len() - 1)
    }

    /// All tensors in the order they were added.
    pub fn iter(&self) -> impl Iterator<Item = (ParamId, &Param)> {
        self.list.iter().enumerate().map(|(i, p)| (ParamId(i), p))
    }

    /// All tensors, to change.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (ParamId, &mut Param)> {
        self.list.iter_mut().enumerate().map(|(i, p)| (ParamId(i), p))
    }

    /// Keeps a matrix in fewer bits only; its f32 values go.
    pub(crate) fn quantise(&mut self, id: ParamId, format: Format) {
        let param = &mut self[id];
        if param.quantised.is_none() && param.shape.len() == 2 {
            param.quantised = Some(Arc::new(QuantMatrix::new(&param.values(), param.shape[1], format)));
            (param.value, param.frozen) = (Vec::new(), None);
        }
    }

    /// Keeps a matrix that will not be trained in this form; its f32 values go.
    pub(crate) fn freeze(&mut self, id: ParamId, form: Form) {
        let param = &mut self[id];
        assert!(param.shape.len() == 2 && !param.trainable, "`{}` is no frozen matrix", param.name);
        param.frozen = FrozenMatrix::new(&param.value, param.shape[1], form).map(Arc::new);
        if param.frozen.is_some() {
            param.value = Vec::new();
        }
    }

    /// Row `row` of a matrix, into `out`.
    pub(crate) fn copy_row(&self, id: ParamId, row: usize, out: &mut [f32]) {
        let param = &self[id];
        match (&param.frozen, &param.quantised) {
            (Some(matrix), _) => matrix.row(row, out),
            (None, Some(matrix)) => matrix.row(row, out),
            (None, None) => out.copy_from_slice(&param.value[row * out.len()..][..out.len()]),
        }
    }

    /// Bytes of all values, in whatever form they are kept.
    pub fn bytes(&self) -> usize {
        let few_bits =
            |p: &Param| p.frozen.as_ref().map_or(0, |f| f.bytes()) + p.quantised.as_ref().map_or(0, |q| q.bytes());
        self.list.iter().map(|p| 4 * p.value.len() + few_bits(p)).sum()
    }

    /// Number of values, of all tensors or the trainable ones.
    pub fn count(&self, only_trainable: bool) -> usize {
        self.list.iter().filter(|p| p.trainable || !only_trainable).map(|p| p.shape.iter().product::<usize>()).sum()
    }
}

impl Index<ParamId> for Params {
    type Output = Param;
    fn index(&self, id: ParamId) -> &Param {
        &self.list[id.0]
    }
}

impl IndexMut<ParamId> for Params {
    fn index_mut(&mut self, id: ParamId) -> &mut Param {
        &mut self.list[id.0]
    }
}

fn non_empty(slot: &mut [f32]) -> Option<&mut [f32]> {
    if slot.is_empty() { None } else { Some(slot) }
}

/// Gradients of the trainable tensors; frozen ones have none.
#[derive(Clone, Debug, Default)]
pub struct Gradients {
    slots: Vec<Vec<f32>>,
}

impl Gradients {
    /// Zeros for every trainable tensor.
    pub fn zeros(params: &Params) -> Self {
        let slot = |p: &Param| if p.trainable { vec![0.0; p.value.len()] } else { Vec::new() };
        Self { slots: params.list.iter().map(slot).collect() }
    }

    /// Sets all to zero.
    pub fn clear(&mut self) {
        self.slots.iter_mut().for_each(|s| s.fill(0.0));
    }

    /// The gradient of one tensor; `None` when it is frozen.
    pub fn get_mut(&mut self, id: ParamId) -> Option<&mut [f32]> {
        self.slots.get_mut(id.0).filter(|s| !s.is_empty()).map(Vec::as_mut_slice)
    }

    /// The gradient of one tensor; `None` when it is frozen.
    pub fn get(&self, id: ParamId) -> Option<&[f32]> {
        self.slots.get(id.0).filter(|s| !s.is_empty()).map(Vec::as_slice)
    }

    /// Two gradients at once, for operations with a weight and a bias.
    pub fn pair_mut(&mut self, a: ParamId, b: ParamId) -> (Option<&mut [f32]>, Option<&mut [f32]>) {
        assert!(a.0 < b.0, "a weight is added before its bias");
        let (low, high) = self.slots.split_at_mut(b.0);
        (non_empty(&mut low[a.0]), non_empty(&mut high[0]))
    }

    /// The gradients of all trainable tensors, in the order of their numbers.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut [f32]> {
        self.slots.iter_mut().filter(|s| !s.is_empty()).map(Vec::as_mut_slice)
    }

    /// The square of the Euclidean norm over all tensors, in f64.
    pub fn squared_norm(&self) -> f64 {
        let part = |s: &Vec<f32>| s.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>();
        pool::map(self.slots.iter().collect(), |_, slot| part(slot)).iter().sum()
    }
}
