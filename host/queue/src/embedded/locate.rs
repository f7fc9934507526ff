//! The location of one job's message, read beside the writer.
//!
//! No index has the keys of waiting messages: they are random, and an index in
//! their order would cost a page for each message. A message is found by its
//! group instead, which follows from the job's id, or from its portfolio. Only
//! where the portfolio is not known are the messages read in their order.

use rusqlite::Connection;
use rusqlite::OptionalExtension as _;
use rusqlite::Row;
use rusqlite::params;
use rusqlite::types::ValueRef;

use super::archive::numbers_of;
use super::groups::Group;
use super::groups::members_of;
use super::inspect::dead_letter;
use super::store::count;
use super::store::group_of;
use super::store::millis;
use super::store::number;
use super::store::text;
use super::store::timestamp;
use super::stored_id::StoredId;
use crate::envelope::wait_group;
use crate::name::QueueName;
use crate::name::Stage;
use crate::state::Location;
use crate::state::MessageId;
use crate::state::MessageLocation;
use crate::state::MessageState;
use hoth_core::domain::Job;
use hoth_core::domain::JobKind;
use hoth_core::domain::PortfolioId;
use hoth_core::domain::Timestamp;

/// The messages that are read where the group is not known: about a second.
/// Messages beyond it are not found.
const READ_MAX: i64 = 2_000_000;

/// A job to find.
#[derive(Debug, Clone)]
pub struct Sought {
    pub kind: JobKind,
    pub id: String,
    pub portfolio: Option<PortfolioId>,
}

/// A queue of the file.
struct FoundQueue {
    id: i64,
    name: QueueName,
}

/// Finds the message, the dead letter and the collected outcome of a job.
pub fn locate(sql: &Connection, sought: &Sought, now: Timestamp) -> rusqlite::Result<Location> {
    // One transaction: a message moves from queue to queue meanwhile.
    let transaction = sql.unchecked_transaction()?;
    let queues = queues(sql, sought.kind)?;
    let mut location = Location::default();
    for queue in &queues {
        if location.message.is_none() {
            location.message = by_group(sql, queue, sought, now)?;
        }
        if location.dead_letter.is_none() {
            location.dead_letter = letter(sql, queue, &sought.id)?;
        }
        if queue.name.stage == Stage::Outcomes {
            location.collected = collected(sql, queue, &sought.id)?;
        }
    }
    if location.message.is_none() && location.collected.is_none() && sought.portfolio.is_none() {
        location.message = by_reading(sql, &queues, sought, now)?;
    }
    transaction.commit()?;
    Ok(location)
}

fn queues(sql: &Connection, kind: JobKind) -> rusqlite::Result<Vec<FoundQueue>> {
    let mut statement = sql.prepare_cached("SELECT id, name FROM queues ORDER BY id")?;
    let rows = statement.query_map([], |row| Ok((row.get::<_, i64>(0)?, text(row, 1)?)))?;
    let mut queues = Vec::new();
    for row in rows {
        let (id, name) = row?;
        // Another release may have had other queues.
        if let Ok(name) = name.parse::<QueueName>()
            && name.kind == kind
        {
            queues.push(FoundQueue { id, name });
        }
    }
    Ok(queues)
}

/// Finds the waiting message by the groups that it can have.
fn by_group(
    sql: &Connection,
    queue: &FoundQueue,
    sought: &Sought,
    now: Timestamp,
) -> rusqlite::Result<Option<MessageLocation>> {
    let portfolio = sought.portfolio.as_ref();
    let names = match &queue.name.stage {
        Stage::Requests(csp) => vec![
            Job::request_group_of(csp, None, &sought.id),
            Job::request_group_of(csp, portfolio, &sought.id),
        ],
        Stage::Polls(csp) => vec![wait_group(csp, &sought.id)],
        Stage::Outcomes => vec![
            Job::outcome_group_of(None, &sought.id),
            Job::outcome_group_of(portfolio, &sought.id),
        ],
    };
    for name in names {
        let group = Group { queue: queue.id, id: StoredId::new(&name) };
        for (nth, seq) in members_of(sql, &group)?.into_iter().enumerate() {
            let found = message(sql, queue, seq, &sought.id, now, nth as u64)?;
            if found.is_some() {
                return Ok(found);
            }
        }
    }
    Ok(None)
}

/// Finds the waiting message by reading all of them.
fn by_reading(
    sql: &Connection,
    queues: &[FoundQueue],
    sought: &Sought,
    now: Timestamp,
) -> rusqlite::Result<Option<MessageLocation>> {
    let mut statement = sql.prepare_cached(
        "SELECT seq, queue, grp FROM (SELECT seq, queue, grp, key, consumed_at FROM messages \
         LIMIT ?2) WHERE key = ?1 AND consumed_at IS NULL",
    )?;
    let mut rows = statement.query(params![sought.id, READ_MAX])?;
    while let Some(row) = rows.next()? {
        let (seq, id): (i64, i64) = (row.get(0)?, row.get(1)?);
        let Some(queue) = queues.iter().find(|queue| queue.id == id) else { continue };
        let before = match group_of(id, row, 2)? {
            Some(group) => members_of(sql, &group)?.iter().filter(|other| **other < seq).count(),
            None => 0,
        };
        let found = message(sql, queue, seq, &sought.id, now, before as u64)?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// Reads the message with this number if it has the key.
fn message(
    sql: &Connection,
    queue: &FoundQueue,
    seq: i64,
    key: &str,
    now: Timestamp,
    before: u64,
) -> rusqlite::Result<Option<MessageLocation>> {
    let mut statement = sql.prepare_cached(
        "SELECT sent_at, visible_at, receive_count, CASE WHEN lease IS NULL THEN NULL ELSE holder \
         END, (SELECT body FROM bodies WHERE bodies.seq = messages.seq) FROM messages \
         WHERE seq = ?1 AND queue = ?2 AND key = ?3 AND consumed_at IS NULL",
    )?;
    let found = statement.query_row(params![seq, queue.id, key], |row| {
        Ok(MessageLocation {
            queue: queue.name.clone(),
            id: MessageId::new(seq.to_string()),
            sent_at: timestamp(number(row, 0)?),
            state: state(row, now)?,
            receive_count: count(row, 2)?,
            before,
            body: text(row, 4)?,
        })
    });
    found.optional()
}

fn state(row: &Row<'_>, now: Timestamp) -> rusqlite::Result<MessageState> {
    let visible_at = number(row, 1)?;
    if visible_at <= millis(now) {
        return Ok(MessageState::Ready);
    }
    let until = timestamp(visible_at);
    Ok(match row.get_ref(3)? {
        ValueRef::Integer(1) => MessageState::LeasedToWorker { until },
        ValueRef::Integer(2) => MessageState::LeasedToClient { until },
        ValueRef::Null
        | ValueRef::Integer(_)
        | ValueRef::Real(_)
        | ValueRef::Text(_)
        | ValueRef::Blob(_) => MessageState::NotDue { until },
    })
}

/// Returns the newest dead letter with this key.
fn letter(
    sql: &Connection,
    queue: &FoundQueue,
    key: &str,
) -> rusqlite::Result<Option<(QueueName, crate::state::DeadLetter)>> {
    let mut statement = sql.prepare_cached(
        "SELECT seq, grp, key, body, reason, sent_at, died_at, receive_count FROM dead_letters
         WHERE queue = ?1 AND key = ?2 ORDER BY seq DESC LIMIT 1",
    )?;
    let found = statement.query_row(params![queue.id, key], dead_letter).optional()?;
    Ok(found.map(|letter| (queue.name.clone(), letter)))
}

/// Returns the collected outcome with this key, and the time of its collection.
fn collected(
    sql: &Connection,
    queue: &FoundQueue,
    key: &str,
) -> rusqlite::Result<Option<(Timestamp, String)>> {
    let numbers = numbers_of(sql, queue.id, &[key.as_bytes()].into())?;
    let Some(last) = numbers.last() else { return Ok(None) };
    let mut statement = sql.prepare_cached(
        "SELECT consumed_at, (SELECT body FROM bodies WHERE bodies.seq = messages.seq)
         FROM messages WHERE seq = ?1 AND consumed_at IS NOT NULL",
    )?;
    let found = statement.query_row([last], |row| Ok((timestamp(number(row, 0)?), text(row, 1)?)));
    found.optional()
}
