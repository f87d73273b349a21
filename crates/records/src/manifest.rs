//! What a dataset says about its making: `manifest.json`. Plain data; every type here is a part of that file.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::benchmark::{BenchmarkInput, OverlapCounts};
use crate::dataset::Split;
use crate::leak::LeakReport;
use crate::record::{Published, RejectReason, WithdrawnState};

/// The `format` of every manifest.
pub const FORMAT: &str = "wardsmith-dataset";
/// The version of the dataset's files that this code reads and writes.
pub const FORMAT_VERSION: u32 = 2;

/// `manifest.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: String,
    /// [`FORMAT_VERSION`].
    pub format_version: u32,
    /// The crate and its version.
    pub created_by: String,
    /// The tasks whose examples are inside, a folder each.
    pub tasks: Vec<String>,
    /// The options of `prepare`, resolved; `null` for datasets made otherwise.
    pub options: serde_json::Value,
    /// What happened while it was made.
    pub report: Report,
    /// The format in which the files with data are sealed, where they are: `age`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<String>,
    /// The files by their path from the manifest on.
    pub files: BTreeMap<String, FileSummary>,
}

impl Manifest {
    /// A manifest without files, as it is handed to [`crate::dataset::DatasetWriter::finish`].
    #[must_use]
    pub fn new(tasks: Vec<String>, options: serde_json::Value, report: Report) -> Self {
        Self {
            format: FORMAT.into(),
            format_version: FORMAT_VERSION,
            created_by: concat!("wardsmith-records ", env!("CARGO_PKG_VERSION")).into(),
            tasks,
            options,
            report,
            encryption: None,
            files: BTreeMap::new(),
        }
    }
}

/// Size and digest of a file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FileSummary {
    /// SHA-256, in hexadecimal.
    pub sha256: String,
    /// Bytes, as stored.
    pub bytes: u64,
    /// SHA-256 of what is inside, where the file is sealed: sealing the same twice gives two different files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plain_sha256: Option<String>,
}

/// Everything that `prepare` counted.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// What was named as input, in the order of naming.
    pub inputs: Vec<InputSummary>,
    /// What each source's files held.
    pub sources: BTreeMap<String, SourceCounts>,
    /// What became of the CVEs.
    pub merge: MergeCounts,
    /// What was cleaned and scrubbed.
    pub refine: RefineReport,
    /// Near-duplicates and texts by one template.
    pub groups: GroupCounts,
    /// The split by date.
    pub split: SplitReport,
    /// What each task made of it.
    pub tasks: BTreeMap<String, TaskCounts>,
    /// The benchmarks that were kept out, in the order of naming.
    pub benchmarks: Vec<BenchmarkInput>,
    /// What overlapped them.
    pub benchmark_overlaps: OverlapCounts,
}

/// One input: a file, an archive or a folder.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct InputSummary {
    /// The source that read it.
    pub source: String,
    /// The terms of that source's data.
    pub licence: String,
    /// The last part of its path.
    pub name: String,
    /// SHA-256 of the file; for a folder, of the lines `<sha256 of file>  <path in folder>\n` in order of path.
    pub sha256: String,
    /// Bytes, as stored.
    pub bytes: u64,
    /// How many files were read.
    pub files: u64,
    /// The files of a folder with their digests, where they are at most [`crate::input::MAX_LISTED_FILES`].
    pub members: BTreeMap<String, FileSummary>,
    /// Files in it that are no data (such as a README), left unread; at most as many as of `members`.
    pub skipped: Vec<String>,
}

/// What the files of one source held.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SourceCounts {
    /// Records of any kind, broken ones too.
    pub records: u64,
    /// Records by kind, in the plural: `vulnerabilities`, `weaknesses`, `documents`, …
    pub kinds: BTreeMap<String, u64>,
    /// Records that withdraw a CVE.
    pub withdrawn: BTreeMap<WithdrawnState, u64>,
    /// Records lost, by reason.
    pub rejected: BTreeMap<RejectReason, u64>,
    /// Labels lost from records that were kept, by reason.
    pub labels_rejected: BTreeMap<RejectReason, u64>,
    /// Records that are as they should be but say nothing to learn from, by reason.
    pub set_aside: BTreeMap<RejectReason, u64>,
    /// Places and reasons of the first few, to look at.
    pub first_rejects: Vec<String>,
}

/// What became of the CVEs of all sources.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct MergeCounts {
    /// CVEs with a description: what is left.
    pub described: u64,
    /// CVEs dropped because they are rejected or reserved.
    pub dropped_by_state: BTreeMap<WithdrawnState, u64>,
    /// Second copies of a CVE within one source; the last modified one is kept, of advisories all.
    pub repeated_in_source: u64,
    /// CVEs that more than one source describes.
    pub in_several_sources: u64,
    /// CVEs to which some source gives a CWE in the field made for it.
    pub with_cwe: u64,
    /// CVEs whose only CWE stands in free text.
    pub with_cwe_in_text_only: u64,
    /// CVEs with a CVSS vector of any version.
    pub with_cvss: u64,
    /// CVEs with a CVSS vector of version 3.
    pub with_cvss_v3: u64,
    /// CVEs with an SSVC assessment.
    pub with_ssvc: u64,
    /// CVEs without a publication date, dated by the year of their ID.
    pub dated_by_year_only: u64,
    /// Whose description was taken.
    pub description_from: BTreeMap<String, u64>,
    /// Records of private sources that were not heard, as a public source has their CVE.
    #[serde(skip_serializing_if = "is_zero")]
    pub private_ignored: u64,
}

/// What was cleaned and scrubbed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RefineReport {
    /// What was changed or taken out, by step or by boilerplate.
    pub removed: BTreeMap<String, u64>,
    /// Secrets and personal data that became placeholders, by kind.
    pub scrubbed: BTreeMap<String, u64>,
    /// Texts by language (ISO 639-3).
    pub languages: BTreeMap<String, u64>,
    /// Records left out for their language, by kind of record.
    pub left_out: BTreeMap<String, u64>,
}

/// Near-duplicates and texts by one template.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct GroupCounts {
    /// Groups, those of one member too.
    pub groups: u64,
    /// Groups of two members and more.
    pub groups_of_several: u64,
    /// Members of those.
    pub members_of_several: u64,
    /// The largest group.
    pub largest: u64,
    /// Pairs that were compared.
    pub candidate_pairs: u64,
    /// Pairs that are alike, without those that were in one group by then.
    pub confirmed_pairs: u64,
}

/// The split by date.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SplitReport {
    /// First day of validation.
    pub validation_from: Option<Published>,
    /// First day of test.
    pub test_from: Option<Published>,
    /// What was placed, by kind of record and split.
    pub placed: BTreeMap<String, BTreeMap<Split, u64>>,
    /// What has no place in any split, by kind of record and reason.
    pub left_out: BTreeMap<String, BTreeMap<String, u64>>,
    /// Leaks between the splits, counted anew over what was written; always 0.
    pub leaks: u64,
    /// The same by kind.
    pub leak_report: LeakReport,
}

/// What a task made of the records.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TaskCounts {
    /// Examples by split.
    pub examples: BTreeMap<Split, u64>,
    /// Labels, where the task has a label set.
    pub labels: u64,
    /// Examples out of whose question the answer's kind of ID was taken.
    pub questions_with_hidden_id: u64,
    /// Records that gave no example, by reason.
    pub left_out: BTreeMap<String, u64>,
    /// Examples that may teach, but are never exported or quoted.
    #[serde(skip_serializing_if = "is_zero")]
    pub private_examples: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}
