//! The number of waiting jobs by the version that wrote their states.

use rusqlite::Connection;
use rusqlite::params;

use crate::failure::TrailError;
use crate::state::JobState;

/// The waiting jobs of one version that are counted. More take too long for a
/// page, and tell an operator nothing else.
pub const WAITING_COUNT_MAX: u64 = 5_000;

/// The index of the waiting jobs: no other job has an entry, so those that never
/// wait cost a comparison.
pub(crate) const INDEX: &str =
    "CREATE INDEX IF NOT EXISTS jobs_waiting ON jobs (digest) WHERE state = 1";

// The number in the index is that of the state.
const _: () = assert!(JobState::Waiting.number() == 1);

const COUNT: &str =
    "SELECT count(*) FROM (SELECT 1 FROM jobs WHERE state = 1 AND digest = ?1 LIMIT ?2)";

/// Counts the waiting jobs with one digest.
pub(crate) fn count(sql: &Connection, digest: &str) -> Result<u64, TrailError> {
    let mut query = sql.prepare_cached(COUNT)?;
    let most = i64::try_from(WAITING_COUNT_MAX).unwrap_or(i64::MAX);
    let count: i64 = query.query_row(params![digest, most], |row| row.get(0))?;
    Ok(u64::try_from(count).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_jobs_are_counted_by_the_index() {
        let sql = Connection::open_in_memory().expect("it opens");
        sql.execute_batch("CREATE TABLE jobs (id INTEGER PRIMARY KEY, state INTEGER, digest TEXT)")
            .expect("it is made");
        // Twice, as at a second start.
        sql.execute_batch(INDEX).expect("it is made");
        sql.execute_batch(INDEX).expect("it is there");
        for (state, digest, jobs) in [(1, "a", 3), (1, "b", 1), (2, "a", 5)] {
            for _ in 0..jobs {
                let insert = "INSERT INTO jobs (state, digest) VALUES (?1, ?2)";
                sql.execute(insert, params![state, digest]).expect("it is written");
            }
        }
        for (digest, expected) in [("a", 3), ("b", 1), ("c", 0)] {
            assert_eq!(count(&sql, digest).expect("it is read"), expected, "{digest}");
        }
        let explain = format!("EXPLAIN QUERY PLAN {COUNT}");
        let plan: String = sql
            .prepare(&explain)
            .and_then(|mut plan| {
                let rows = plan.query_map(params!["a", 10], |row| row.get::<_, String>(3))?;
                Ok(rows.flatten().collect::<Vec<_>>().join("; "))
            })
            .expect("it is planned");
        assert!(plan.contains("jobs_waiting (digest=?)"), "{plan}");
    }
}
