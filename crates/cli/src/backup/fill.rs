//! From the lines of a backup into empty databases.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail, ensure};
use countersign_crypto::{Clock as _, SystemClock};
use countersign_db::{
    DumpTable, Pool, Transaction, Value, dump_tables, mark_restoring, schema_versions, set_restored_identity,
};
use zeroize::Zeroizing;

use super::file::{Database, Kind, Line, Lines, Table};
use super::source::Source;
use crate::output;

/// Rows between two lines of progress.
const PROGRESS_EVERY: u64 = 100_000;

/// What a backup holds.
#[derive(Default)]
pub(super) struct Contents {
    pub(super) databases: Vec<Database>,
    /// Root key files by role.
    pub(super) key_files: BTreeMap<String, Zeroizing<Vec<u8>>>,
    pub(super) rows: u64,
}

/// Reads a backup to its end, so that nothing is begun with one that is damaged somewhere.
pub(super) fn read_all(mut lines: Lines) -> anyhow::Result<Contents> {
    let mut contents = Contents::default();
    while let Some(line) = lines.next()? {
        match line {
            Line::Database(database) => contents.databases.push(database),
            Line::KeyFile { role, content } => {
                let file = hex::decode(&*content).context("a key file of the backup")?;
                contents.key_files.insert(role, Zeroizing::new(file));
            }
            Line::Row(_) => contents.rows += 1,
            Line::Table(_) => {}
        }
    }
    Ok(contents)
}

/// A database that was filled.
pub(super) struct Filled {
    pub(super) from: Database,
    pub(super) pool: Pool,
}

/// A database that is being filled, in one transaction.
struct Filling {
    from: Database,
    pool: Pool,
    tx: Transaction,
    tables: Vec<DumpTable>,
    /// The table of the rows that follow, and the places of its columns in a row of the backup.
    table: Option<(DumpTable, Vec<usize>)>,
}

/// Fills the databases of `targets`, which must be empty; each is committed as a whole, with its epoch raised by
/// `epochs`, and marked as being restored.
pub(super) async fn fill(mut lines: Lines, targets: &[Source], epochs: i64) -> anyhow::Result<Vec<Filled>> {
    let (mut filled, mut filling, mut rows) = (Vec::new(), None::<Filling>, 0_u64);
    while let Some(line) = lines.next()? {
        match line {
            Line::KeyFile { .. } => {}
            Line::Database(database) => {
                if let Some(done) = filling.take() {
                    filled.push(done.commit(epochs).await?);
                }
                let target = targets.iter().find(|target| target.role == database.role);
                let target =
                    target.with_context(|| format!("the configuration has no [{}]", database.role))?;
                let begun = Filling::begin(database, target).await;
                filling = Some(begun.with_context(|| format!("the {} database", target.role))?);
            }
            Line::Table(table) => filling
                .as_mut()
                .context("a table without a database")?
                .table(&table)?,
            Line::Row(row) => {
                let filling = filling.as_mut().context("a row without a database")?;
                filling.row(row).await?;
                rows += 1;
                if rows.is_multiple_of(PROGRESS_EVERY) {
                    output::note(format!("{rows} rows"));
                }
            }
        }
    }
    if let Some(done) = filling {
        filled.push(done.commit(epochs).await?);
    }
    Ok(filled)
}

impl Filling {
    async fn begin(from: Database, target: &Source) -> anyhow::Result<Self> {
        let config = &target.database;
        let pool = Pool::connect(&config.database(target.role)?).await?;
        let mut tx = pool.snapshot().await?;
        let before = dump_tables(&mut tx).await?;
        drop(tx);
        pool.close().await;
        ensure!(
            before.is_empty(),
            "is not empty: a backup is restored into a new database or schema"
        );
        let now = SystemClock.now().as_micros();
        if target.role == "gateway" {
            countersign_gateway::migrate_to(config, &from.schema, now).await?;
        } else {
            countersign_identity::migrate_to(config, &from.schema, now).await?;
        }
        let pool = Pool::connect(&config.database(target.role)?).await?;
        let mut tx = pool.begin().await?;
        let schema = schema_versions(&mut tx).await?;
        ensure!(
            schema == from.schema,
            "the backup has schema {:?}, and this program makes {schema:?}",
            from.schema
        );
        let tables = dump_tables(&mut tx).await?;
        Ok(Self {
            from,
            pool,
            tx,
            tables,
            table: None,
        })
    }

    fn table(&mut self, table: &Table) -> anyhow::Result<()> {
        let known = self.tables.iter().find(|known| known.name == table.name);
        let known = known.with_context(|| format!("this program has no table {}", table.name))?;
        ensure!(
            known.columns.len() == table.columns.len(),
            "table {} has other columns",
            table.name
        );
        let places = known.columns.iter().map(|(name, kind)| {
            let wanted = (name.clone(), Kind::from(*kind));
            let place = table.columns.iter().position(|column| *column == wanted);
            place.with_context(|| format!("table {} has no column {name} in the backup", table.name))
        });
        self.table = Some((known.clone(), places.collect::<anyhow::Result<_>>()?));
        Ok(())
    }

    async fn row(&mut self, row: Vec<serde_json::Value>) -> anyhow::Result<()> {
        let (table, places) = self.table.as_ref().context("a row without a table")?;
        ensure!(
            row.len() == places.len(),
            "a row of {} has another length",
            table.name
        );
        let mut values = Vec::with_capacity(row.len());
        for ((name, kind), place) in table.columns.iter().zip(places) {
            let value = value((*kind).into(), &row[*place]);
            values.push(value.with_context(|| format!("{}.{name}", table.name))?);
        }
        table
            .insert(&mut self.tx, values)
            .await
            .with_context(|| table.name.clone())
    }

    async fn commit(mut self, epochs: i64) -> anyhow::Result<Filled> {
        let epoch = self.from.restore_epoch + epochs;
        set_restored_identity(&mut self.tx, &self.from.id, epoch).await?;
        // What was revoked since the backup lives again from here on: whatever ends this program, no server may start.
        mark_restoring(&mut self.tx).await?;
        self.tx.commit().await?;
        Ok(Filled {
            from: self.from,
            pool: self.pool,
        })
    }
}

fn value(kind: Kind, json: &serde_json::Value) -> anyhow::Result<Value> {
    Ok(match (kind, json) {
        (Kind::Text, serde_json::Value::String(text)) => Value::Text(text.clone()),
        (Kind::Text, serde_json::Value::Null) => Value::NullText,
        (Kind::Int, serde_json::Value::Null) => Value::NullInt,
        (Kind::Bytes, serde_json::Value::Null) => Value::NullBytes,
        (Kind::Int, serde_json::Value::Number(number)) => {
            Value::Int(number.as_i64().context("not an integer")?)
        }
        (Kind::Bytes, json) => {
            let bytes = json["x"].as_str().context("not bytes")?;
            Value::Bytes(hex::decode(bytes).context("not bytes")?)
        }
        _ => bail!("a value of another type"),
    })
}
