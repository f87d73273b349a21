//! Wardsmith's functions for queries: those of `wardsmith_records::minhash`, column by column.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BinaryBuilder, BooleanArray, Int64Array, ListArray, ListBuilder, UInt32Builder,
    UInt64Builder,
};
use datafusion::arrow::datatypes::{DataType, UInt32Type};
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarUDF, Volatility, create_udf};
use datafusion::prelude::SessionContext;
use sha2::{Digest, Sha256};
use wardsmith_records::minhash::{band_keys, jaccard_is_at_least, shingles};

/// Makes them known:
///
/// - `node(text) -> int64`: a text's hash (SHA-256, 64 bits of it): a name that any machine gives alike;
/// - `shingles(text) -> list<uint32>`: its set of shingles, sorted;
/// - `set_digest(list<uint32>) -> binary`: 128 bits of the set's SHA-256, so that equal sets are found by it;
/// - `minhash_bands(list<uint32>) -> list<uint64>`: a key a band, the band in its upper half;
/// - `alike(list<uint32>, list<uint32>) -> boolean`: whether their Jaccard similarity reaches the threshold.
pub(super) fn register(context: &SessionContext, threshold: f64) {
    let set = || DataType::new_list(DataType::UInt32, true);
    let keys = DataType::new_list(DataType::UInt64, true);
    context.register_udf(function("node", vec![DataType::Utf8], DataType::Int64, |columns| Ok(node(&columns[0]))));
    context.register_udf(function("shingles", vec![DataType::Utf8], set(), |columns| Ok(sets(&columns[0]))));
    context.register_udf(function("set_digest", vec![set()], DataType::Binary, |columns| digests(&columns[0])));
    context.register_udf(function("minhash_bands", vec![set()], keys, move |columns| bands(&columns[0], threshold)));
    context.register_udf(function("alike", vec![set(), set()], DataType::Boolean, move |columns| {
        alike(&columns[0], &columns[1], threshold)
    }));
}

fn function(
    name: &str,
    inputs: Vec<DataType>,
    output: DataType,
    body: impl Fn(&[ArrayRef]) -> Result<ArrayRef> + Send + Sync + 'static,
) -> ScalarUDF {
    let body =
        move |values: &[ColumnarValue]| Ok(ColumnarValue::Array(body(&ColumnarValue::values_to_arrays(values)?)?));
    create_udf(name, inputs, output, Volatility::Immutable, Arc::new(body))
}

fn node(texts: &ArrayRef) -> ArrayRef {
    let hash = |text: &str| {
        let digest = Sha256::digest(text.as_bytes());
        i64::from_be_bytes(digest[..8].try_into().expect("a digest has 32 bytes"))
    };
    Arc::new(texts.as_string::<i32>().iter().map(|text| text.map(hash)).collect::<Int64Array>())
}

fn sets(texts: &ArrayRef) -> ArrayRef {
    let mut out = ListBuilder::new(UInt32Builder::new());
    for text in texts.as_string::<i32>() {
        out.values().append_slice(&shingles(text.unwrap_or_default()));
        out.append(true);
    }
    Arc::new(out.finish())
}

fn digests(sets: &ArrayRef) -> Result<ArrayRef> {
    let mut out = BinaryBuilder::new();
    for_each_set(sets.as_list(), |set| {
        let mut digest = Sha256::new();
        set.iter().for_each(|shingle| digest.update(shingle.to_le_bytes()));
        out.append_value(&digest.finalize()[..16]);
    });
    Ok(Arc::new(out.finish()))
}

fn bands(sets: &ArrayRef, threshold: f64) -> Result<ArrayRef> {
    let mut out = ListBuilder::new(UInt64Builder::new());
    for_each_set(sets.as_list(), |set| {
        for (band, key) in (0u64..).zip(band_keys(set, threshold)) {
            out.values().append_value(band << 32 | u64::from(key));
        }
        out.append(true);
    });
    Ok(Arc::new(out.finish()))
}

fn alike(left: &ArrayRef, right: &ArrayRef, threshold: f64) -> Result<ArrayRef> {
    let (left, right) = (left.as_list::<i32>(), right.as_list::<i32>());
    let row = |at: usize| jaccard_is_at_least(set_at(left, at), set_at(right, at), threshold);
    Ok(Arc::new(BooleanArray::from((0..left.len()).map(row).collect::<Vec<bool>>())))
}

fn for_each_set(sets: &ListArray, mut visit: impl FnMut(&[u32])) {
    (0..sets.len()).for_each(|at| visit(set_at(sets, at)));
}

/// The set in row `at`, without a copy.
fn set_at(sets: &ListArray, at: usize) -> &[u32] {
    let offsets = sets.value_offsets();
    &sets.values().as_primitive::<UInt32Type>().values()[offsets[at] as usize..offsets[at + 1] as usize]
}
