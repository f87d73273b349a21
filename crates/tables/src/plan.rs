//! Near-duplicates and joins as DataFusion plans over Parquet: the same groups as `wardsmith_records::dedup`, from tables
//! that need not fit into memory, and from plans that a cluster (Ballista) can run as they are.
//!
//! ```text
//! sketches         a row a text: node (hash of its ID), its set of shingles, the digest of the set   no shuffle
//! representatives  one row of each equal set, with its band keys                                     by digest
//! pairs            representatives that share a band key; whether the sets are alike indeed          by key, by node
//! edges            alike pairs, joined in rounds until every node points at the least that it reaches   by node
//! groups           every text with the label of its representative                                   by digest
//! ```
//!
//! The engine reads and writes files, never our own record batches: it is built on another release of Arrow.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::arrow::array::AsArray;
use datafusion::arrow::datatypes::Int64Type;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::physical_plan::collect;
use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};
use tokio::runtime::Runtime;

use crate::error::{Error, Result};

mod functions;
mod shuffle;

pub use self::shuffle::Shuffle;

/// Rounds after which all must be stars: about the logarithm of the longest way are needed.
const MAX_ROUNDS: usize = 64;

const SKETCHES: &str = "SELECT id, node(id) AS node, set_digest(s) AS digest, s \
                        FROM (SELECT {id} AS id, shingles({text}) AS s FROM {table})";
const REPRESENTATIVES: &str = "SELECT node, s, minhash_bands(s) AS bands FROM \
                               (SELECT min(node) AS node, first_value(s) AS s FROM sketches GROUP BY digest)";
const PAIRS: &str = "WITH bands AS (SELECT node, unnest(bands) AS band FROM representatives), \
                     proposed AS (SELECT DISTINCT a.node AS l, b.node AS r FROM bands a JOIN bands b ON a.band = b.band \
                     WHERE a.node < b.node) \
                     SELECT p.l, p.r, alike(x.s, y.s) AS alike FROM proposed p \
                     JOIN representatives x ON p.l = x.node JOIN representatives y ON p.r = y.node";
/// Each edge from the greater node to the lesser.
const EDGES: &str = "SELECT DISTINCT r AS a, l AS b FROM pairs WHERE alike";
/// Connected components by alternating stars (Kiveris et al., "Connected Components in MapReduce and Beyond", 2014). Large
/// star: every node tells its greater neighbours of the least node among its neighbours and itself.
const LARGE_STAR: &str = "WITH ways AS (SELECT a AS u, b AS v FROM edges UNION ALL SELECT b AS u, a AS v FROM edges), \
                          least_of AS (SELECT u, least(u, min(v)) AS m FROM ways GROUP BY u) \
                          SELECT DISTINCT w.v AS a, m.m AS b FROM ways w JOIN least_of m ON w.u = m.u WHERE w.v > w.u";
/// Small star: every node joins its lesser neighbours, and itself, to the least of them.
const SMALL_STAR: &str = "WITH least_of AS (SELECT a, min(b) AS m FROM large GROUP BY a) \
                          SELECT DISTINCT a, b FROM (SELECT a, m AS b FROM least_of UNION ALL \
                          SELECT x.b AS a, m.m AS b FROM large x JOIN least_of m ON x.a = m.a WHERE x.b <> m.m)";
/// Nodes that are joined to more than one node, or to one that is itself joined on: none when all is stars.
const RESTLESS: &str = "SELECT (SELECT count(*) FROM (SELECT a FROM edges GROUP BY a HAVING count(*) > 1)) + \
                        (SELECT count(*) FROM edges x JOIN edges y ON x.b = y.a) AS restless";
const GROUPS: &str = "SELECT s.id, coalesce(l.b, r.node) AS label FROM sketches s \
                      JOIN (SELECT digest, min(node) AS node FROM sketches GROUP BY digest) r ON s.digest = r.digest \
                      LEFT JOIN edges l ON l.a = r.node";

/// Known exploitation by weakness: CVEs × KEV × the CWE catalogue, over the tables of `records::export_records`.
pub const EXPLOITED_WEAKNESSES: &str = "\
    WITH labelled AS (SELECT DISTINCT id, get_field(label, 'value') AS cwe \
                      FROM (SELECT id, unnest(cwes) AS label FROM vulnerabilities)) \
    SELECT w.id, w.name, count(*) AS exploited FROM exploited e JOIN labelled l ON e.id = l.id \
    JOIN weaknesses w ON w.id = l.cwe GROUP BY w.id, w.name ORDER BY exploited DESC, w.id";

/// What an engine may use.
#[derive(Debug, Clone, PartialEq)]
pub struct EngineOptions {
    /// Plans are cut into so many parts, each with a thread.
    pub partitions: usize,
    /// Bytes that sorts, joins and aggregates may hold together; what can spill does so beyond it.
    pub memory_bytes: Option<usize>,
    /// Join by sorting, which spills to disk, and not by hash tables, which must fit into memory.
    pub sorted_joins: bool,
    /// Jaccard similarity from which on two texts are near-duplicates.
    pub threshold: f64,
}

impl Default for EngineOptions {
    fn default() -> Self {
        let threshold = wardsmith_records::dedup::DEFAULT_THRESHOLD;
        Self { partitions: 2, memory_bytes: None, sorted_joins: false, threshold }
    }
}

/// Near-duplicates among the texts of a table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Groups {
    /// Each text's ID and the label of its group, in no order.
    pub labels: Vec<(String, i64)>,
    /// Texts with unequal sets.
    pub representatives: u64,
    /// Pairs of those that share a band.
    pub candidate_pairs: u64,
    /// Pairs of those that are alike indeed.
    pub edges: u64,
    /// Rounds until every node pointed at the least of its group.
    pub rounds: usize,
    /// What went from one partition to another, stage by stage.
    pub shuffles: Vec<Shuffle>,
}

/// DataFusion with Wardsmith's functions, which writes what it makes into a folder of its own.
pub struct Engine {
    context: SessionContext,
    runtime: Runtime,
    work: PathBuf,
    /// The folder of each table that was written. Every table gets a new one, as the engine remembers what it listed.
    written: BTreeMap<String, PathBuf>,
    folders: usize,
    shuffles: Vec<Shuffle>,
}

impl Engine {
    /// An engine that keeps its tables in the folder `work`, which is emptied.
    ///
    /// # Errors
    /// Where the disk or the threads are refused.
    pub fn new(work: &Path, options: &EngineOptions) -> Result<Self> {
        if work.exists() {
            fs::remove_dir_all(work).map_err(Error::io("clear", work))?;
        }
        fs::create_dir_all(work).map_err(Error::io("create", work))?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(options.partitions.max(1)).build();
        let runtime = runtime.map_err(Error::io("start threads for", work))?;
        let config = SessionConfig::new()
            .with_target_partitions(options.partitions.max(1))
            .set_bool("datafusion.execution.parquet.schema_force_view_types", false)
            .set_bool("datafusion.optimizer.prefer_hash_join", !options.sorted_joins)
            // Nothing is sent to all: on a cluster no table of these is small.
            .set_usize("datafusion.optimizer.hash_join_single_partition_threshold", 0)
            .set_usize("datafusion.optimizer.hash_join_single_partition_threshold_rows", 0);
        let mut environment = RuntimeEnvBuilder::new();
        if let Some(bytes) = options.memory_bytes {
            environment = environment.with_memory_pool(Arc::new(FairSpillPool::new(bytes)));
        }
        let context = SessionContext::new_with_config_rt(config, environment.build_arc()?);
        functions::register(&context, options.threshold);
        Ok(Self {
            context,
            runtime,
            work: work.to_path_buf(),
            written: BTreeMap::new(),
            folders: 0,
            shuffles: Vec::new(),
        })
    }

    /// Makes the Parquet file or folder at `path` known as the table `name`.
    ///
    /// # Errors
    /// Where it is no Parquet.
    pub fn register(&self, name: &str, path: &Path) -> Result<()> {
        let path = path.to_string_lossy();
        Ok(self.runtime.block_on(self.context.register_parquet(name, path.as_ref(), ParquetReadOptions::default()))?)
    }

    /// The rows of a query, each value as text.
    ///
    /// # Errors
    /// Where the query is wrong or fails.
    pub fn query(&mut self, sql: &str) -> Result<Vec<Vec<String>>> {
        let mut rows = Vec::new();
        for batch in self.run("query", sql)? {
            let options = FormatOptions::default();
            let columns: Vec<ArrayFormatter<'_>> = batch
                .columns()
                .iter()
                .map(|column| ArrayFormatter::try_new(column, &options))
                .collect::<Result<_, _>>()
                .map_err(datafusion::error::DataFusionError::from)?;
            let row = |at| columns.iter().map(|column| column.value(at).to_string()).collect();
            rows.extend((0..batch.num_rows()).map(row));
        }
        Ok(rows)
    }

    /// The physical plan that proposes, verifies and thereby finds all alike pairs of `table` in one go, as text.
    ///
    /// # Errors
    /// Where the table is unknown or lacks the columns.
    pub fn explain_pairs(&self, table: &str, id: &str, text: &str) -> Result<String> {
        self.view("sketches", &sketches(table, id, text))?;
        self.view("representatives", REPRESENTATIVES)?;
        let plan = self.runtime.block_on(async { self.context.sql(PAIRS).await?.create_physical_plan().await })?;
        for name in ["sketches", "representatives"] {
            self.context.deregister_table(name)?;
        }
        Ok(datafusion::physical_plan::displayable(plan.as_ref()).indent(false).to_string())
    }

    /// Groups the texts in column `text` of `table` by near-duplication; column `id` names them.
    ///
    /// # Errors
    /// Where the table is unknown, the memory does not suffice, or the disk refuses.
    pub fn near_duplicates(&mut self, table: &str, id: &str, text: &str) -> Result<Groups> {
        self.shuffles.clear();
        self.stage("sketches", &sketches(table, id, text))?;
        self.stage("representatives", REPRESENTATIVES)?;
        self.stage("pairs", PAIRS)?;
        self.stage("edges", EDGES)?;
        let mut found = Groups {
            representatives: self.count("representatives")?,
            candidate_pairs: self.count("pairs")?,
            edges: self.count("edges")?,
            ..Groups::default()
        };
        found.rounds = self.settle()?;
        for batch in self.run("groups", GROUPS)? {
            let (ids, labels) = (batch.column(0).as_string::<i32>(), batch.column(1).as_primitive::<Int64Type>());
            found.labels.extend(ids.iter().flatten().map(str::to_owned).zip(labels.values().iter().copied()));
        }
        found.shuffles = std::mem::take(&mut self.shuffles);
        Ok(found)
    }

    /// Joins edges until every node points at the least of its group; returns the number of rounds.
    fn settle(&mut self) -> Result<usize> {
        for round in 0..MAX_ROUNDS {
            if self.number(RESTLESS)? == 0 {
                return Ok(round);
            }
            self.stage("large", LARGE_STAR)?;
            self.stage("small", SMALL_STAR)?;
            self.stage("edges", "SELECT a, b FROM small")?;
        }
        let endless = datafusion::error::DataFusionError::Execution("the groups do not settle".into());
        Err(Error::Plan(endless))
    }

    fn count(&mut self, table: &str) -> Result<u64> {
        self.number(&format!("SELECT count(*) AS n FROM {table}"))
    }

    fn number(&mut self, sql: &str) -> Result<u64> {
        let batches = self.run("count", sql)?;
        let number = batches.iter().find(|batch| batch.num_rows() > 0);
        Ok(number.map_or(0, |batch| batch.column(0).as_primitive::<Int64Type>().value(0).unsigned_abs()))
    }

    fn view(&self, name: &str, sql: &str) -> Result<()> {
        let view = self.runtime.block_on(self.context.sql(sql))?.into_view();
        self.context.register_table(name, view)?;
        Ok(())
    }

    /// Writes the rows of a query into the folder and makes them known as a table, in place of one of that name.
    fn stage(&mut self, name: &str, sql: &str) -> Result<()> {
        self.forget(name)?;
        self.folders += 1;
        let path = self.work.join(format!("{:03}-{name}", self.folders));
        fs::create_dir_all(&path).map_err(Error::io("create", &path))?;
        let place = path.to_string_lossy().replace('\'', "''");
        self.run(name, &format!("COPY ({sql}) TO '{place}/' STORED AS PARQUET"))?;
        let empty = fs::read_dir(&path).map_err(Error::io("list", &path))?.next().is_none();
        self.written.insert(name.into(), path.clone());
        if empty {
            // No row, no file: the engine would not know the columns.
            let schema = self.runtime.block_on(self.context.sql(sql))?.schema().as_arrow().clone();
            self.context.register_batch(name, RecordBatch::new_empty(Arc::new(schema)))?;
            return Ok(());
        }
        self.register(name, &path)
    }

    fn forget(&mut self, name: &str) -> Result<()> {
        self.context.deregister_table(name)?;
        match self.written.remove(name) {
            Some(path) => fs::remove_dir_all(&path).map_err(Error::io("remove", &path)),
            None => Ok(()),
        }
    }

    /// Runs a query and notes what it shuffled.
    fn run(&mut self, stage: &str, sql: &str) -> Result<Vec<RecordBatch>> {
        let (plan, batches) = self.runtime.block_on(async {
            let plan = self.context.sql(sql).await?.create_physical_plan().await?;
            let batches = collect(Arc::clone(&plan), self.context.task_ctx()).await?;
            Ok::<_, datafusion::error::DataFusionError>((plan, batches))
        })?;
        self.shuffles.extend(shuffle::of(stage, plan.as_ref()));
        Ok(batches)
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Engine").field("work", &self.work).finish_non_exhaustive()
    }
}

fn sketches(table: &str, id: &str, text: &str) -> String {
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    SKETCHES.replace("{id}", &quoted(id)).replace("{text}", &quoted(text)).replace("{table}", &quoted(table))
}
