//! The queue's time across restarts: it continues, and never goes back.

use rusqlite::Connection;
use rusqlite::OptionalExtension as _;
use rusqlite::params;
use tracing::warn;

use super::known_keys::DEDUP_MS;
use super::store::millis;
use super::store::number;
use super::store::timestamp;
use crate::limits::LEASE_MAX;
use hoth_core::domain::Timestamp;
use hoth_platform::clock::Clock;
use hoth_platform::clock::Uptime;

// One row: on this boot of the machine, at this uptime, the queue's time was
// `time`.
const MACHINE: &str = "CREATE TABLE IF NOT EXISTS machine (
    boot TEXT NOT NULL,
    uptime INTEGER NOT NULL,         -- milliseconds
    time INTEGER NOT NULL
)";

/// Queries for the latest times in the file, each answered from an index. The
/// newest message has the highest number, whatever its position in its group.
const LATEST: [&str; 4] = [
    "SELECT sent_at FROM messages ORDER BY seq DESC LIMIT 1",
    "SELECT died_at FROM dead_letters ORDER BY seq DESC LIMIT 1",
    "SELECT MAX(latest) FROM
     (SELECT (SELECT MAX(consumed_at) FROM messages
              WHERE queue = queues.id AND consumed_at IS NOT NULL) AS latest FROM queues)",
    "SELECT expires_at - ?1 FROM recent_keys ORDER BY id DESC LIMIT 1",
];

/// The latest time that a file is believed: the year 2200. Another program may
/// have written larger numbers.
const BELIEVED_MAX: i64 = 7_258_118_400_000;

/// Sets the clock to the time of the last host on this file, and what has
/// passed since.
///
/// While the machine has not been rebooted, the time since is known from its
/// uptime: a wall clock that was set meanwhile must end no lease early and delay
/// no job. Otherwise the wall clock counts, but never goes back behind what the
/// file has seen: messages would be hidden until the clock is there again.
pub fn continue_time(connection: &Connection, clock: &Clock) -> rusqlite::Result<()> {
    continue_from(connection, clock, clock.uptime())
}

fn continue_from(
    connection: &Connection,
    clock: &Clock,
    uptime: Option<Uptime>,
) -> rusqlite::Result<()> {
    connection.execute(MACHINE, [])?;
    let continued = match &uptime {
        Some(uptime) => continued(connection, uptime)?,
        None => None,
    };
    let (start, latest) = (continued.unwrap_or(clock.now()), latest(connection)?);
    let now = start.max(latest);
    if continued.is_none() && latest > start {
        warn!(
            "The clock of this machine is {:.0?} behind the newest entry of the queue file: the \
             queue's time continues from that entry",
            latest.since(start)
        );
    }
    clock.set(now);
    if continued == Some(now) {
        return Ok(());
    }
    // One transaction: a crash leaves the old state or the new one.
    let transaction = connection.unchecked_transaction()?;
    if uptime.is_some() || latest > start {
        show_hidden(&transaction, now)?;
    }
    if let Some(uptime) = uptime {
        transaction.execute("DELETE FROM machine", [])?;
        transaction.execute(
            "INSERT INTO machine VALUES (?1, ?2, ?3)",
            params![uptime.boot, since_boot(&uptime), millis(now)],
        )?;
    }
    transaction.commit()
}

/// Returns the time of the last host on this file and what has passed since, or
/// `None` if that is not known.
fn continued(connection: &Connection, uptime: &Uptime) -> rusqlite::Result<Option<Timestamp>> {
    let known = connection
        .query_row("SELECT uptime, time FROM machine WHERE boot = ?1", [&uptime.boot], |row| {
            Ok((number(row, 0)?, number(row, 1)?))
        })
        .optional()?;
    // An uptime that went back within one boot is not that of the machine:
    // containers may have their own.
    let passed = known.map(|(then, time)| (since_boot(uptime).saturating_sub(then), time));
    Ok(passed
        .filter(|(passed, _)| *passed >= 0)
        .map(|(passed, time)| timestamp(time.saturating_add(passed))))
}

fn since_boot(uptime: &Uptime) -> i64 {
    i64::try_from(uptime.since.as_millis()).unwrap_or(i64::MAX)
}

/// Returns the latest time that the file has seen.
fn latest(connection: &Connection) -> rusqlite::Result<Timestamp> {
    let mut latest = 0;
    for query in LATEST {
        let mut statement = connection.prepare(query)?;
        let dedup = i64::try_from(DEDUP_MS).unwrap_or(i64::MAX);
        let all = [dedup];
        let parameters = &all[..statement.parameter_count()];
        let time = statement
            .query_row(rusqlite::params_from_iter(parameters), |row| number(row, 0))
            .optional()?;
        latest = latest.max(time.filter(|time| *time <= BELIEVED_MAX).unwrap_or(0));
    }
    Ok(timestamp(latest))
}

/// Makes messages available that only a clock ahead of this one hides: all but
/// those that wait for a time that was asked for, and those that a client has
/// leased.
fn show_hidden(connection: &Connection, now: Timestamp) -> rusqlite::Result<()> {
    // A new message is due when it is sent, unless a later time was asked for.
    connection.execute(
        "UPDATE messages SET visible_at = ?1
         WHERE visible_at > ?1 AND consumed_at IS NULL
         AND (holder = 0 OR (lease IS NULL AND holder IS NULL AND visible_at <= sent_at))",
        [millis(now)],
    )?;
    // No lease of a client is longer.
    connection.execute(
        "UPDATE messages SET visible_at = ?1 WHERE holder = 2 AND visible_at > ?1
         AND consumed_at IS NULL",
        [millis(now + LEASE_MAX)],
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    fn uptime(boot: &str, since: Duration) -> Option<Uptime> {
        Some(Uptime { boot: boot.to_owned(), since })
    }

    fn tables() -> Connection {
        let connection = Connection::open_in_memory().expect("memory");
        connection
            .execute_batch(&crate::embedded::tables::new_tables())
            .expect("the tables are new");
        connection
    }

    /// Starts a host whose wall clock shows `wall`, and returns the queue's time.
    fn start(connection: &Connection, wall: Timestamp, uptime: Option<Uptime>) -> Timestamp {
        let clock = Clock::manual(wall);
        continue_from(connection, &clock, uptime).expect("the tables are there");
        clock.now()
    }

    #[test]
    fn time_continues_within_a_boot_and_follows_the_wall_clock_otherwise() {
        let (file, wall) = (tables(), Timestamp::from_millis(1_700_000_000_000));
        let hour = Duration::from_secs(60 * 60);
        assert_eq!(start(&file, wall, uptime("a", hour)), wall);
        assert_eq!(start(&file, wall + DAY, uptime("a", hour * 2)), wall + hour, "the same boot");
        assert_eq!(start(&file, wall + DAY, uptime("b", hour)), wall + DAY, "another boot");
        assert_eq!(start(&file, wall + DAY * 2, None), wall + DAY * 2, "no uptime is known");
    }

    #[test]
    fn the_latest_times_are_read_from_indexes() {
        let file = tables();
        for query in LATEST {
            let mut plan = file.prepare(&format!("EXPLAIN QUERY PLAN {query}")).expect("valid SQL");
            let parameters = &[0][..plan.parameter_count()];
            let steps = plan
                .query_map(rusqlite::params_from_iter(parameters), |row| row.get::<_, String>(3))
                .expect("it runs");
            for step in steps {
                let step = step.expect("a text");
                // A scan in the order of the numbers ends at its first row.
                assert!(!step.contains("TEMP B-TREE"), "{query}: {step}");
            }
        }
    }

    #[test]
    fn an_uptime_that_went_back_is_that_of_another_boot() {
        let (file, wall) = (tables(), Timestamp::from_millis(1_700_000_000_000));
        let later = wall + Duration::from_secs(60);
        start(&file, wall, uptime("a", DAY));
        // A container with an uptime of its own was restarted.
        assert_eq!(start(&file, later, uptime("a", Duration::from_secs(5))), later);
        let passed = Duration::from_secs(10);
        assert_eq!(start(&file, wall, uptime("a", Duration::from_secs(15))), later + passed);
    }

    #[test]
    fn time_never_goes_back_behind_the_newest_entry() {
        let (sent, wall) = (1_700_000_000_000, Timestamp::from_millis(1_600_000_000_000));
        let row = |table: &str, columns: &str, time: i64| {
            let file = tables();
            file.execute_batch("INSERT INTO queues (id, name) VALUES (1, 'q')").expect("a queue");
            let sql = format!("INSERT INTO {table} VALUES ({columns})");
            file.execute(&sql, [time]).expect("a row");
            start(&file, wall, uptime("b", DAY))
        };
        let message = "1, 1, 'g', 'k', ?1, 0, 0, NULL, NULL, 1, NULL";
        for (table, columns) in [
            ("messages", message),
            ("dead_letters", "1, 1, 'g', 'k', 'b', 0, 1, 'r', ?1"),
            ("messages", "1, 1, 'g', 'k', 0, 0, 0, NULL, NULL, 0, ?1"),
            ("recent_keys", "1, 1, 'k', x'00', ?1 + 86400000"),
        ] {
            assert_eq!(row(table, columns, sent), Timestamp::from_millis(1_700_000_000_000));
        }
        assert_eq!(row("messages", message, i64::MAX), wall, "no host has written this");
    }
}
