//! Checkpoints kept outside the database.

use std::collections::BTreeMap;

use super::{Faults, Subject};
use crate::checkpoint::Checkpoint;

/// The lines about this database, by checkpoint number and restore epoch, with the number of the line. After a restore
/// the numbers beyond the backup come again: of one number there is a line a life.
pub(super) type Outside = BTreeMap<(i64, i64), (usize, Checkpoint)>;

/// The databases that the lines are about, by role and id, each with the first line about it.
pub(super) fn databases(checkpoints: &str) -> BTreeMap<(String, String), usize> {
    let mut databases = BTreeMap::new();
    for (index, line) in checkpoints.lines().enumerate() {
        // Lines that are none are a fault of every database that is looked at.
        if let Ok(statement) = Checkpoint::parse(line).and_then(|checkpoint| checkpoint.read()) {
            let database = (statement.role, statement.database);
            databases.entry(database).or_insert(index + 1);
        }
    }
    databases
}

/// Reads the lines; those of the other role's database are that one's affair.
pub(super) fn read(subject: &Subject<'_>, faults: &mut Faults) -> Outside {
    let database = subject.database;
    let mut outside = Outside::new();
    let lines: Vec<&str> = subject.checkpoints.split_inclusive('\n').collect();
    for (index, line) in lines.iter().enumerate() {
        let place = format!("checkpoint file line {}", index + 1);
        let text = line.trim_end_matches(['\n', '\r']);
        if text.is_empty() {
            continue;
        }
        let checkpoint = match Checkpoint::parse(text) {
            Ok(checkpoint) => checkpoint,
            // The last line without its newline was cut by a crash, before it was acknowledged.
            Err(_) if index + 1 == lines.len() && !line.ends_with('\n') && index > 0 => continue,
            Err(error) => {
                faults.add(place, error.to_string());
                continue;
            }
        };
        // Another database's keys are not at hand: whose it is, is read before the signature is looked at.
        let statement = match checkpoint.read() {
            Ok(statement) if statement.role != subject.role && statement.database != database.id => continue,
            Ok(statement) => statement,
            Err(error) => {
                faults.add(place, error.to_string());
                continue;
            }
        };
        if statement.database != database.id {
            let other = &statement.database;
            faults.add(
                place,
                format!(
                    "is about database {other}, and this is {}: the {} database was exchanged",
                    database.id, subject.role
                ),
            );
            continue;
        }
        if let Err(error) = checkpoint.verify(subject.keys) {
            faults.add(place, error.to_string());
            continue;
        }
        let key = (statement.number, statement.restore_epoch);
        match outside.get(&key) {
            Some((earlier, other)) if *other != checkpoint => {
                let number = statement.number;
                faults.add(
                    place,
                    format!(
                        "is a second checkpoint {number}, and differs from line {earlier}: the history forked"
                    ),
                );
            }
            _ => {
                outside.insert(key, (index + 1, checkpoint));
            }
        }
    }
    outside
}
